"""What a model's scores mean: all pairs of people whom it has not seen, to a table of thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import Calibration, read_calibrations, write_calibrations
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.models.calibrations import calibrations_of, keep, place_of
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.verify import DEFAULT
from cosface_cli.verify.calibration import CalibrateConfig, CalibrateReport
from cosface_cli.verify.calibration.table import table_of
from cosface_cli.verify.faces.by_name import Faces, open_faces
from cosface_cli.verify.protocols.listed_pairs import first_level


def calibrate(config: CalibrateConfig, emit: OnOutcome = ignore) -> CalibrateReport:
    """Embed the faces of config.source and write the table of all their pairs to where the model's is kept.

    Raises CosfaceError where the source has no people, or none of two photos, and where the table is there already of
    another model; ModelMismatch where the source is a store of another model.
    """
    faces = open_faces(config, config.source)
    _require_place(config, faces)
    named = [(name, person) for name in faces.names if (person := first_level(name))]
    if missing := set(config.leave_out) - {person for _, person in named}:
        raise CosfaceError(f"nobody is called {min(missing)} here", config.source, "correct --leave-out")
    named = [(name, person) for name, person in named if person not in config.leave_out]
    if len({person for _, person in named}) < 2:
        raise CosfaceError("no two people here: the first folder level is the person", config.source, "sort the photos")
    embedded = faces.embed([name for name, _ in named], emit)
    usable = np.isfinite(embedded.vectors[:, 0])
    names = np.array([person for _, person in named])[usable]
    vectors = embedded.vectors[usable]
    once = _once(vectors, names, emit)
    vectors, (known, codes) = vectors[once], np.unique(names[once], return_inverse=True)
    people = codes.astype(np.int64)
    data = {"source": config.source.name, "fingerprint": embedded.data, "people": len(known), "faces": len(people)}
    if config.leave_out:
        data["left_out"] = sorted(config.leave_out)
    empty = Calibration(faces.model, faces.model_id, faces.flip, 0, 0, data, (), ())
    table = table_of(vectors, people, empty, config.workers)
    if table is None:
        raise CosfaceError("nobody here has two photos, or only one person a face", config.source, "add some")
    _suspect(vectors, people, known, table, emit)
    if unresolved := [rate["far"] for rate in table.rates if rate["tar"] is None]:
        needed = max(rate["impostors_needed"] for rate in table.rates if rate["tar"] is None)
        few = f"{table.impostors} impostor pairs do not tell FAR {', '.join(f'{far:g}' for far in unresolved)}"
        emit(Note(f"{few}: that needs at least {needed}"))
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


def _once(vectors: NDArray[np.float32], names: NDArray[np.str_], emit: OnOutcome) -> NDArray[np.int64]:
    """The rows (M,) without doubles: a photo counts once, and not at all where it is there as two people."""
    _, first, codes = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    owners: list[set[str]] = [set() for _ in first]
    for code, name in zip(codes, names, strict=True):
        owners[code].add(str(name))
    kept = [row for row, own in zip(first, owners, strict=True) if len(own) == 1]
    if torn := sorted(own for own in map(sorted, owners) if len(own) > 1):
        pairs = ", ".join(" and ".join(own) for own in torn[:3]) + (", ..." if len(torn) > 3 else "")
        emit(Note(f"{len(torn)} photos are there as two people ({pairs}) and count for nobody"))
    return np.sort(np.array(kept, np.int64))


def _suspect(
    vectors: NDArray[np.float32],
    people: NDArray[np.int64],
    known: NDArray[np.str_],
    table: Calibration,
    emit: OnOutcome,
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
        emit(Note(f"{words}: --leave-out one of them if they are"))


def _require_place(config: CalibrateConfig, faces: Faces) -> None:
    """Before any work: raises CosfaceError where the table could not be kept."""
    if config.out is not None:
        if config.out.exists():
            read_calibrations(config.out, ModelIdentity(name=faces.model, id=faces.model_id))
        return
    if len(config.models) > 1:
        raise CosfaceError("several models have no place for a table", hint="name a file for it: --out FILE")
    (model,) = config.models or DEFAULT
    place_of(model)
    embedder = open_embedder(model)
    if embedder.model_id != faces.model_id:
        held = f"embeddings of {faces.model} ({faces.model_id}), not of {embedder.name} ({embedder.model_id})"
        raise ModelMismatch(held, config.source, "name the store's model with --model, or a file with --out")


def _written(config: CalibrateConfig, table: Calibration) -> Path:
    """Beside the model's tables for other flips."""
    if config.out is not None:
        known = read_calibrations(config.out, table.identity) if config.out.exists() else {}
        write_calibrations(config.out, {**known, table.flip: table})
        return config.out
    (model,) = config.models or DEFAULT
    return keep(model, {**calibrations_of(model, open_embedder(model)), table.flip: table})
