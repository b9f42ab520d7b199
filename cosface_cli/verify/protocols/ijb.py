"""IJB-B and IJB-C (Whitelam 2017, Maze 2018): templates of photos and video frames, 1:1, and 1:N in the open set.

Source is a store of the set's photos, or its folder with meta/ and loose_crop/; the meta files' folder may be named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.lists.ijb_meta import (
    Media,
    MetaFiles,
    Points,
    find_meta,
    read_media,
    read_points,
    read_subjects,
    read_template_pairs,
)
from cosface_cli.engines.photos.pair_photos import named_inputs
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.identification import NOWHERE, cmc, open_set, ranks
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import Embedded, Faces, InputFaces, is_store, open_faces
from cosface_cli.verify.figures.pair_scores import PairScores, Scored, Shown, pair_cosines

FPIRS = (1e-1, 1e-2, 1e-3)
RANKS = (1, 5, 10)
PROBES = 1024  # probes searched for at a time


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The pairs of templates, and where there are lists of galleries and probes, the searches.

    A template is the sum over its media of the mean of the photos of each, at unit length; weight_by_detector weighs
    each photo by the detector's score, of the meta files where they have it. Faces are cut out by the landmarks of the
    meta files where there are some and source is of photos.
    """
    root, folder = places(config)
    meta = find_meta(folder)
    media = read_media(meta.media)
    points = read_points(meta.points) if meta.points is not None else None
    faces = _faces(config, root, points)
    templates, vectors, shown, embedded = _templates(config, media, faces, points, meta, emit)
    pairs = None if meta.pairs is None else _verification(meta, templates, vectors, shown)
    if pairs is None and (meta.probes is None or not meta.galleries):
        problem = "neither pairs of templates nor galleries and probes here"
        raise CosfaceError(problem, folder, "get the set's meta files again")
    lost = np.isnan(vectors[:, 0])
    hashes = {path.name: file_sha256(path) for path in meta.all}
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=pairs,
        missing=tuple(f"template {number}" for number in templates[lost]),
        list_hash=hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
        identification=_identification(meta, templates, vectors, config.missing),
        details={
            "set": meta.name,
            "templates": len(templates),
            "media": len(set(zip(media.templates.tolist(), media.media.tolist(), strict=True))),
            "photos": len(media.names),
            "photos_without_face": len(set(media.names)) - int(np.isfinite(embedded.vectors[:, 0]).sum()),
            "flags": {"N": False, "D": config.weight_by_detector, "F": faces.flip != "none"},
            "lists": hashes,
        },
    )


def places(config: ProtocolConfig) -> tuple[Path, Path]:
    """The photos' root and the folder of the meta files."""
    source = config.source
    if config.pairs is not None:
        return source, config.pairs
    root = source / "loose_crop" if (source / "loose_crop").is_dir() else source
    return root, source / "meta" if (source / "meta").is_dir() else source


def _faces(config: ProtocolConfig, root: Path, points: Points | None) -> Faces:
    if points is None or is_store(root) or config.crops_template is not None:
        return open_faces(config, root)
    inputs = named_inputs(root)
    if any(item.crop is not None for item in inputs.values()):
        return open_faces(config, root)
    known = {name: replace(item, landmarks=points.landmarks.get(name)) for name, item in inputs.items()}
    return InputFaces(known, config)


def _templates(
    config: ProtocolConfig, media: Media, faces: Faces, points: Points | None, meta: MetaFiles, emit: OnOutcome
) -> tuple[NDArray[np.int64], NDArray[np.float32], tuple[tuple[Shown, ...], ...], Embedded]:
    """The templates that there are, rising, their vectors (T, D), NaN for one without a face, the photos behind each,
    and what those photos gave."""
    listed = tuple(dict.fromkeys(media.names))
    there = {name: found for name in listed if (found := faces.find(name)) is not None}
    if not there:
        problem = f"none of the photos of {meta.media} are here, as {listed[0]}"
        raise CosfaceError(problem, config.source, "give their folder")
    embedded = faces.embed(tuple(dict.fromkeys(there.values())), emit)
    place = {name: row for row, name in enumerate(dict.fromkeys(there.values()))}
    rows = np.array([place[there[name]] if name in there else -1 for name in media.names], np.int64)
    weights = np.ones(len(rows))
    if config.weight_by_detector:
        own = points.scores if points is not None else None
        weights = np.array([own.get(name, 0.0) for name in media.names]) if own is not None else embedded.scores[rows]
        if not weights.any():
            raise CosfaceError("nobody scored these faces", config.source, "leave --weight-by-detector out")
    usable = (rows >= 0) & np.isfinite(embedded.vectors[rows, 0]) & (weights > 0)
    order = np.lexsort((media.media, media.templates))
    templates, starts = np.unique(media.templates[order], return_index=True)
    vectors = np.full((len(templates), embedded.vectors.shape[1]), np.nan, np.float32)
    shown = []
    for number, members in enumerate(np.split(order, starts[1:])):
        members = members[usable[members]]
        shown.append(tuple(embedded.shown[row] for row in rows[members]))
        if members.size:
            own_vectors = embedded.vectors[rows[members]].astype(np.float64) * weights[members, None]
            vectors[number] = template_vector(own_vectors, media.media[members])
    return templates, vectors, tuple(shown), embedded


def template_vector(vectors: NDArray[np.float64], media: NDArray[np.int64]) -> NDArray[np.float64]:
    """One template (D,): the sum over media of the mean of the vectors (N, D) of each, at unit length."""
    _, which = np.unique(media, return_inverse=True)
    sums = np.zeros((int(which.max()) + 1, vectors.shape[1]))
    np.add.at(sums, which, vectors)
    total = (sums / np.bincount(which)[:, None]).sum(axis=0)
    length = np.linalg.norm(total)
    return np.asarray(total / length if length > 0 else np.full_like(total, np.nan))


def _verification(
    meta: MetaFiles,
    templates: NDArray[np.int64],
    vectors: NDArray[np.float32],
    shown: tuple[tuple[Shown, ...], ...],
) -> PairScores:
    assert meta.pairs is not None
    listed = read_template_pairs(meta.pairs)
    left, right = _rows(templates, listed.left, meta.pairs), _rows(templates, listed.right, meta.pairs)
    subjects: dict[int, int] = {}
    for path in (*meta.galleries.values(), *([meta.probes] if meta.probes is not None else [])):
        subjects |= read_subjects(path)
    return PairScores(
        scores=pair_cosines(vectors, left, right),
        same=listed.same,
        left=left,
        right=right,
        names=tuple(map(str, templates)),
        identities=tuple(str(subjects.get(int(number), "")) for number in templates),
        fold=np.ones(len(left), np.int64),
        shown=shown,
    )


def _rows(templates: NDArray[np.int64], wanted: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """Where templates of a list stand. Raises CosfaceError for one that has no photos in the list of media."""
    rows = np.minimum(np.searchsorted(templates, wanted), len(templates) - 1)
    unknown = np.flatnonzero(templates[rows] != wanted)
    if unknown.size:
        problem = f"template {wanted[unknown[0]]} has no photos in the list of media"
        raise CosfaceError(problem, path, "take lists of one set")
    return np.asarray(rows, np.int64)


def _identification(
    meta: MetaFiles, templates: NDArray[np.int64], vectors: NDArray[np.float32], missing: str
) -> Mapping[str, Any] | None:
    """Each gallery by itself: its thresholds come from the probes of people who are not in it."""
    if meta.probes is None or not meta.galleries:
        return None
    probes = read_subjects(meta.probes)
    probe_rows = _rows(templates, np.array(list(probes), np.int64), meta.probes)
    who = np.array(list(probes.values()), np.int64)
    found = {}
    for name, path in meta.galleries.items():
        gallery = read_subjects(path)
        rows = _rows(templates, np.array(list(gallery), np.int64), path)
        people = np.array(list(gallery.values()), np.int64)
        found[name] = _searches(vectors[rows], people, vectors[probe_rows], who, missing)
    return {"galleries": found, "mean": _mean(list(found.values()))}


def _searches(
    gallery: NDArray[np.float32],
    people: NDArray[np.int64],
    probes: NDArray[np.float32],
    who: NDArray[np.int64],
    missing: str,
) -> dict[str, Any]:
    """Closed-set ranks and the open set of one gallery. Probes without a face find nobody; with missing "skip" they,
    and those whose own person has none, are left out."""
    enrolled = np.isfinite(gallery[:, 0])
    seen = np.isfinite(probes[:, 0])
    mated = np.isin(who, people[enrolled] if missing == "skip" else people)
    if missing == "skip":
        mated &= seen
    unmated = seen & ~np.isin(who, people)
    wide = gallery[enrolled].astype(np.float64)
    found, own, best = np.full(len(who), NOWHERE), np.full(len(who), -np.inf), np.full(len(who), -np.inf)
    rows = np.flatnonzero(seen)
    for start in range(0, len(rows), PROBES):
        part = rows[start : start + PROBES]
        scores = probes[part].astype(np.float64) @ wide.T
        found[part], own[part] = ranks(scores, np.broadcast_to(people[enrolled], scores.shape), who[part])
        best[part] = scores.max(axis=1, initial=-np.inf)
    sets = [asdict(open_set(found[mated], own[mated], best[unmated], fpir)) for fpir in FPIRS]
    shares = cmc(found[mated], max(RANKS)).tolist() if mated.any() else [None] * max(RANKS)
    closed = {f"rank{limit}": shares[limit - 1] for limit in RANKS}
    return {
        "gallery": len(people),
        "mated": int(mated.sum()),
        "unmated": int(unmated.sum()),
        **closed,
        "open_set": sets,
    }


def _mean(galleries: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the galleries' figures; None where one has none."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    means: dict[str, Any] = {f"rank{limit}": mean([found[f"rank{limit}"] for found in galleries]) for limit in RANKS}
    rates = zip(*(found["open_set"] for found in galleries), strict=True)
    means["open_set"] = [{"fpir": row[0]["fpir"], "tpir": mean([each["tpir"] for each in row])} for row in rates]
    return means
