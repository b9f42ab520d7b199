"""Photos and people of a training set that are in a test set too: by content, by look, and by face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.rows import Row
from cosface_cli.artifacts.store import Store
from cosface_cli.artifacts.store_series import require_finished
from cosface_cli.engines.all_pairs import count_all_pairs
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.likeness import Look, likeness
from cosface_cli.engines.pair_files import stem
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Tell, ignore
from cosface_cli.verify import CompareConfig, LeakageConfig, LeakageReport, ProtocolConfig
from cosface_cli.verify.compare import known_matcher
from cosface_cli.verify.faces import is_store
from cosface_cli.verify.figures import FARS, report_of
from cosface_cli.verify.photos import Photos
from cosface_cli.verify.protocol import run_protocol
from cosface_cli.verify.stores import Stores
from cosface_cli.verify.warnings import Seen

CHUNK = 2048  # rows of the training set compared at a time
LOOKED_AT = 3  # of the nearest photos of the training set, for each face of the test


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face of the test. path: its file; identity: "" where nobody knows."""

    name: str
    path: str
    identity: str
    hash: str
    vector: NDArray[np.float32]


@dataclass(slots=True, eq=False)
class _Found:
    """files: by test face, the training row of the same content; near: the nearest rows over the threshold, best first;
    people: by test and training identity: pairs over the threshold, the best cosine, and whose faces that is of."""

    files: dict[int, Row] = field(default_factory=dict)
    near: dict[int, list[tuple[float, Row, NDArray[np.float32]]]] = field(default_factory=dict)
    people: dict[tuple[str, str], tuple[int, float, int, Row]] = field(default_factory=dict)


def leakage(config: LeakageConfig, tell: Tell = ignore) -> LeakageReport:
    """Compare every face of the test with every face that was trained on; one row is told for each find.

    Photos of near faces are read again from where the stores say they are, and compared by look. Raises ModelMismatch
    for stores of two models, CosfaceError where neither model nor caller gives a threshold.
    """
    require_finished(config.train)
    compare = CompareConfig(
        config.models,
        threshold=config.threshold,
        far=config.far,
        calibration=config.calibration,
        detector=config.detector,
        faces=config.faces,
        min_face=config.min_face,
        workers=config.workers,
    )
    with Stores([config.train], "mean", "all") as stores:
        header = stores.headers[0]
        photos = Photos(compare, header, config.train) if config.models or header.model in EMBEDDERS else None
        matcher = photos.matcher if photos is not None else known_matcher(stores, compare)
        if is_store(config.test):
            test = list(_of_store(config.test, stores))
        elif photos is None:
            raise CosfaceError(f"nobody knows how to embed photos as {header.model} does", mend="name it with --model")
        else:
            test = list(_of_photos(config.test, photos, tell))
    if not test:
        raise CosfaceError("no face to compare", config.test, "give photos with faces, or their store")
    found, train_faces = _compared(config.train, test, matcher.threshold)
    again = Photos(replace(compare, faces="all"), header, config.train) if photos is not None else None
    copies = _copies(test, found, again, tell)
    rows = list(_rows(test, found, copies))
    for row in rows:
        tell(Done(str(row["test"]), (row,)))
    leaked = {*found.files, *copies}
    people = {test_identity for test_identity, _ in found.people}
    by_chance = None
    if matcher.calibration is not None:
        by_chance = matcher.calibration.far_at(matcher.threshold)[0] * train_faces * len(test)
    return LeakageReport(
        train_faces,
        len(test),
        matcher.threshold,
        len(found.files),
        len(copies),
        len(people),
        by_chance,
        _scored_again(config, test, leaked, people, tell),
        not rows,
        header.model,
        header.model_id,
    )


def _of_store(path: Path, train: Stores) -> Iterator[_Face]:
    require_finished(path)
    with Store(path) as store:
        train.require_alike(store.header, path)
        for row, vector in store.pairs():
            yield _Face(row.source, str(Path(row.root) / row.source), row.identity or "", row.hash, vector)


def _of_photos(source: Path, photos: Photos, tell: Tell) -> Iterator[_Face]:
    inputs = photos.gallery(str(source), tell)
    tell(Planned(len(inputs)))
    for (given, item), seen in zip(inputs, photos.each(inputs), strict=True):
        if not seen.usable:
            tell(Rejected(given, seen.vectors.reason or "no_face", seen.vectors.words))
            continue
        name = given.removeprefix(f"{source}/")
        assert seen.vectors.vectors is not None
        for vector in seen.vectors.vectors:
            yield _Face(name, str(item.place), name.partition("/")[0] if "/" in name else "", seen.vectors.hash, vector)


def _compared(train: Path, test: Sequence[_Face], threshold: float) -> tuple[_Found, int]:
    found = _Found()
    by_hash: dict[str, list[int]] = {}
    for number, face in enumerate(test):
        by_hash.setdefault(face.hash, []).append(number)
    vectors = np.stack([face.vector for face in test]).T  # (D, M)
    with Store(train) as store:
        for low in range(0, len(store), CHUNK):
            high = min(low + CHUNK, len(store))
            block, rows = store.vectors(low, high), list(store.rows(low, high))
            for row in rows:
                for number in by_hash.get(row.hash, ()):
                    found.files.setdefault(number, row)
            cosines = block @ vectors
            for at, number in np.argwhere(cosines >= threshold):
                _note(found, test, int(number), float(cosines[at, number]), rows[at], block[at])
        return found, len(store)


def _note(found: _Found, test: Sequence[_Face], number: int, cos: float, row: Row, vector: NDArray[np.float32]) -> None:
    near = found.near.setdefault(number, [])
    near.append((cos, row, vector))
    near.sort(key=lambda one: -one[0])
    del near[LOOKED_AT:]
    who = (test[number].identity or test[number].name, row.identity or row.source)
    count, best, best_number, best_row = found.people.get(who, (0, -2.0, number, row))
    nearer = (cos, number, row) if cos > best else (best, best_number, best_row)
    found.people[who] = (count + 1, *nearer)


def _copies(
    test: Sequence[_Face], found: _Found, photos: Photos | None, tell: Tell
) -> dict[int, tuple[str, float, Row]]:
    """By test face, what it is of a photo in the training set: a copy, or its mirror image."""
    asked = {number: near for number, near in found.near.items() if number not in found.files}
    if photos is None or not asked:
        if asked:
            tell(Note("photos are not compared by look: name the stores' weights with --model"))
        return {}
    paths = dict.fromkeys(test[number].path for number in asked)
    paths.update(dict.fromkeys(_path(row) for near in asked.values() for _, row, _ in near))
    there = [path for path in paths if Path(path).is_file()]
    if len(there) < len(paths):
        tell(Note(f"{len(paths) - len(there)} of {len(paths)} photos to look at are gone, or lie in archives"))
    seen = {one.name: one for one in photos.each(photos.named(there))}
    out: dict[int, tuple[str, float, Row]] = {}
    for number, near in asked.items():
        one = _look(seen.get(test[number].path), test[number].vector)
        for cos, row, vector in near:
            other = _look(seen.get(_path(row)), vector)
            kind = likeness(one, other) if one is not None and other is not None else None
            if kind is not None:
                out[number] = (kind, cos, row)
                break
    return out


def _look(seen: Seen | None, vector: NDArray[np.float32]) -> Look | None:
    """How a face looks; of several in a photo the one with that vector."""
    if seen is None or not seen.usable or seen.vectors.looks is None or seen.vectors.vectors is None:
        return None
    return np.asarray(seen.vectors.looks[int(np.argmax(seen.vectors.vectors @ vector))])


def _rows(
    test: Sequence[_Face], found: _Found, copies: Mapping[int, tuple[str, float, Row]]
) -> Iterator[dict[str, Any]]:
    """Of output: photos first, then people by how near they come."""
    for number, row in sorted(found.files.items()):
        yield _row("same_file", test[number], row, 1.0, None)
    for number, (kind, cos, row) in sorted(copies.items()):
        yield _row(kind, test[number], row, cos, None)
    for count, cos, number, row in sorted(found.people.values(), key=lambda one: (-one[1], one[2])):
        yield _row("same_person", test[number], row, cos, count)


def _row(kind: str, face: _Face, row: Row, cos: float, pairs: int | None) -> dict[str, Any]:
    return {
        "kind": kind,
        "test": face.name,
        "train": row.source,
        "test_identity": face.identity or None,
        "train_identity": row.identity,
        "cos": round(cos, 6),
        "pairs": pairs,
    }


def _path(row: Row) -> str:
    return str(Path(row.root) / row.source)


def _scored_again(
    config: LeakageConfig, test: Sequence[_Face], photos: set[int], people: set[str], tell: Tell
) -> tuple[Mapping[str, Any], ...]:
    """What the test says with all its faces, without those photos, and without those people and photos."""
    parts = {"all": np.ones(len(test), bool)}
    if photos:
        parts["without the photos"] = np.array([number not in photos for number in range(len(test))])
    if people:
        apart = np.array([(face.identity or face.name) not in people for face in test])
        parts["without the people"] = apart & parts.get("without the photos", True)
    if config.pairs is None:
        return tuple(
            {"of": of, "accuracy": None, "tar_at_far": _all_pairs(test, kept, config)} for of, kept in parts.items()
        )
    run = ProtocolConfig(
        config.test,
        pairs=config.pairs,
        model=config.models[0] if config.models else ProtocolConfig(config.test).model,
        detector=config.detector,
        min_face=config.min_face,
        workers=config.workers,
    )
    if not is_store(config.test):
        run = replace(run, faces=config.faces)
    scored, _ = run_protocol(run, tell)
    out = []
    for of, kept in parts.items():
        gone = {face.name for face, keep in zip(test, kept, strict=True) if not keep}
        gone |= {stem(name) for name in gone}
        assert scored.pairs is not None
        named = np.array([name not in gone for name in scored.pairs.names])
        pairs = scored.pairs.chosen(named[scored.pairs.left] & named[scored.pairs.right])
        try:
            report = report_of("", replace(scored, pairs=pairs), run, 0.0)
        except CosfaceError as error:  # too few are left
            tell(Note(f"{of}: no score ({error.problem})"))
            continue
        out.append({"of": of, "accuracy": report.accuracy, "tar_at_far": report.tar_at_far})
    return tuple(out)


def _all_pairs(test: Sequence[_Face], kept: NDArray[np.bool_], config: LeakageConfig) -> tuple[Mapping[str, Any], ...]:
    faces = [face for face, keep in zip(test, kept, strict=True) if keep and face.identity]
    if not faces:
        return ()
    vectors = np.stack([face.vector for face in faces])
    codes = np.unique([face.identity for face in faces], return_inverse=True)[1].astype(np.int64)
    counts = count_all_pairs(lambda start, stop: vectors[start:stop], codes, ignore, config.workers)
    if not counts.genuine.any() or not counts.impostors.any():
        return ()
    curve = curve_of_bins(counts.genuine, counts.impostors)
    return tuple(asdict(tar_at_far(curve, far)) for far in FARS)
