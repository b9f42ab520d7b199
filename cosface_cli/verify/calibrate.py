"""What a model's scores mean: all pairs of people whom it has not seen, to a table of thresholds."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.calibration import Calibration, Point, read_calibrations, write_calibrations
from cosface_cli.engines.all_pairs import count_all_pairs
from cosface_cli.engines.calibrations import calibrations_of, keep
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.histogram import SPARE, UNIT, curve_of_bins
from cosface_cli.maths.pair_intervals import far_intervals, tar_intervals
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import Note, Tell, ignore
from cosface_cli.verify import CalibrateConfig, CalibrateReport, ProtocolConfig
from cosface_cli.verify.faces import Faces, is_store, open_faces

FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PER_DECADE = 16  # points of the curve


def calibrate(config: CalibrateConfig, tell: Tell = ignore) -> CalibrateReport:
    """Embed the faces of config.source and write the table of all their pairs to where the model's is kept.

    Raises CosfaceError where the source has no people, or none of two photos, and where the table is there already of
    another model; ModelMismatch where the source is a store of another model.
    """
    how = ProtocolConfig(
        config.source,
        model=config.model,
        fused_with=config.fused_with,
        fuse=config.fuse,
        flip=config.flip,
        crops_template=config.crops_template,
        detector=config.detector,
        min_face=config.min_face,
        workers=config.workers,
    )
    if not is_store(config.source) or config.faces != CalibrateConfig(config.source).faces:
        how = replace(how, faces=config.faces)  # a store refuses what it does not read
    faces = open_faces(how, config.source)
    _require_place(config, faces)
    named = [(name, name.partition("/")[0]) for name in faces.names if "/" in name]
    if missing := set(config.leave_out) - {person for _, person in named}:
        raise CosfaceError(f"nobody is called {min(missing)} here", config.source, "correct --leave-out")
    named = [(name, person) for name, person in named if person not in config.leave_out]
    if len({person for _, person in named}) < 2:
        raise CosfaceError("no two people here: the first folder level is the person", config.source, "sort the photos")
    embedded = faces.embed([name for name, _ in named], tell)
    usable = np.isfinite(embedded.vectors[:, 0])
    names = np.array([person for _, person in named])[usable]
    vectors = embedded.vectors[usable]
    once = _once(vectors, names, tell)
    vectors, (known, codes) = vectors[once], np.unique(names[once], return_inverse=True)
    people = codes.astype(np.int64)
    data = {"source": config.source.name, "fingerprint": embedded.data, "people": len(known), "faces": len(people)}
    if config.leave_out:
        data["left_out"] = sorted(config.leave_out)
    empty = Calibration(faces.model, faces.model_id, faces.flip, 0, 0, data, (), ())
    table = table_of(vectors, people, empty, config.workers)
    if table is None:
        raise CosfaceError("nobody here has two photos, or only one person a face", config.source, "add some")
    _suspect(vectors, people, known, table, tell)
    if unresolved := [rate["far"] for rate in table.rates if rate["tar"] is None]:
        needed = max(rate["impostors_needed"] for rate in table.rates if rate["tar"] is None)
        few = f"{table.impostors} impostor pairs do not tell FAR {', '.join(f'{far:g}' for far in unresolved)}"
        tell(Note(f"{few}: that needs at least {needed}"))
    place = _written(config, table)
    return CalibrateReport(
        str(place),
        table.model,
        table.model_id,
        table.flip,
        len(known),
        len(people),
        table.genuine,
        table.impostors,
        table.rates,
        embedded.data,
    )


def table_of(
    vectors: NDArray[np.float32], people: NDArray[np.int64], empty: Calibration, workers: int = 0
) -> Calibration | None:
    """The table of unit vectors (N, D) of people (N,); None without both genuine and impostor pairs.

    empty: says what is calibrated, and on what.
    """
    counts = count_all_pairs(lambda start, stop: vectors[start:stop], people, ignore, workers)
    genuine, impostors = int(counts.genuine.sum()), int(counts.impostors.sum())
    if not genuine or not impostors:
        return None
    curve = curve_of_bins(counts.genuine, counts.impostors)
    rates = [asdict(tar_at_far(curve, far)) for far in FARS]
    accepted = counts.impostors[::-1].cumsum()[::-1]  # from each bin on
    edges = (_steps(accepted) - (UNIT + SPARE)) / UNIT
    thresholds = np.unique([*edges, *(rate["threshold"] for rate in rates if rate["threshold"] is not None)])
    false = far_intervals(vectors, people, thresholds)
    true = tar_intervals(vectors, people, thresholds)
    for rate in rates:
        if rate["threshold"] is not None:
            at = int(np.searchsorted(thresholds, rate["threshold"]))
            rate |= {"low": float(true.low[at]), "high": float(true.high[at])}
            rate |= {"far_low": float(false.low[at]), "far_high": float(false.high[at])}
    points = tuple(
        Point(float(threshold), curve.accepted(threshold)[1], float(low), float(high))
        for threshold, low, high in zip(thresholds, false.low, false.high, strict=True)
    )
    return replace(empty, genuine=genuine, impostors=impostors, rates=tuple(rates), curve=points)


def _once(vectors: NDArray[np.float32], names: NDArray[np.str_], tell: Tell) -> NDArray[np.int64]:
    """The rows (M,) without doubles: a photo counts once, and not at all where it is there as two people."""
    _, first, codes = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    owners: list[set[str]] = [set() for _ in first]
    for code, name in zip(codes, names, strict=True):
        owners[code].add(str(name))
    kept = [row for row, own in zip(first, owners, strict=True) if len(own) == 1]
    if torn := sorted(own for own in map(sorted, owners) if len(own) > 1):
        pairs = ", ".join(" and ".join(own) for own in torn[:3]) + (", ..." if len(torn) > 3 else "")
        tell(Note(f"{len(torn)} photos are there as two people ({pairs}) and count for nobody"))
    return np.sort(np.array(kept, np.int64))


def _suspect(
    vectors: NDArray[np.float32], people: NDArray[np.int64], known: NDArray[np.str_], table: Calibration, tell: Tell
) -> None:
    """Name two people whose photos score, in the mean, as only one impostor pair in a thousand does."""
    threshold = table.threshold(1e-3)
    sums = np.zeros((len(known), vectors.shape[1]))
    np.add.at(sums, people, vectors)
    centres = sums / np.bincount(people)[:, None]
    means = centres @ centres.T  # of all cosines between two people
    alike = np.argwhere(np.triu(means >= threshold, 1)) if threshold is not None else np.zeros((0, 2), np.int64)
    for one, other in alike[:10]:
        words = f"{known[one]} and {known[other]} look like one person to this model"
        tell(Note(f"{words}: --leave-out one of them if they are"))


def _steps(accepted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bins from which the accepted impostor pairs are all, fewer by the same factor each time, and none."""
    impostors = int(accepted[0])
    decades = np.arange(0, np.log10(impostors) + 1 / _PER_DECADE, 1 / _PER_DECADE)
    wanted = np.append(np.floor(impostors / 10**decades), 0)
    steps: NDArray[np.int64] = np.searchsorted(-accepted, -wanted, side="left")
    steps[0] = SPARE  # -1: every score
    return np.unique(steps)


def _require_place(config: CalibrateConfig, faces: Faces) -> None:
    """Before any work: raises CosfaceError where the table could not be kept."""
    if config.out is not None:
        if config.out.exists():
            read_calibrations(config.out, faces.model_id, faces.model)
        return
    if config.fused_with:
        raise CosfaceError("several models have no place for a table", mend="name a file for it: --out FILE")
    if config.model in EMBEDDERS:
        raise CosfaceError(f"{config.model} has a calibration of its own", mend="name a file for this one: --out FILE")
    embedder = open_embedder(config.model)
    if embedder.model_id != faces.model_id:
        held = f"embeddings of {faces.model} ({faces.model_id}), not of {embedder.name} ({embedder.model_id})"
        raise ModelMismatch(held, config.source, "name the store's model with --model, or a file with --out")


def _written(config: CalibrateConfig, table: Calibration) -> Path:
    """Beside the model's tables for other flips."""
    if config.out is not None:
        known = read_calibrations(config.out, table.model_id, table.model) if config.out.exists() else {}
        write_calibrations(config.out, {**known, table.flip: table})
        return config.out
    return keep(config.model, {**calibrations_of(config.model, open_embedder(config.model)), table.flip: table})
