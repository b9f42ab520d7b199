"""From all pairs of people whom a model was not trained on, to a table of its thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import Calibration, read_calibrations, write_calibrations
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.embedders.vectors import identity_of
from cosface_cli.engines.models.calibrations import calibrations_of, keep, place_of
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.verify.calibration import CalibrateConfig, CalibrateReport
from cosface_cli.verify.calibration.threshold_table import calibration_of
from cosface_cli.verify.faces import DEFAULT_MODELS
from cosface_cli.verify.faces.open_faces import open_faces
from cosface_cli.verify.faces.source import FaceTable, first_level, read_faces


def calibrate(config: CalibrateConfig, emit: OnOutcome = ignore) -> CalibrateReport:
    """Embed the faces of config.source, and write the table of all their pairs to config.out or to the model's file.

    Raises CosfaceError if the source has fewer than two people, or no person with two photos; ModelMismatch if the
    source, or an existing table, is of another model.
    """
    with open_faces(config, config.source, config.crops_template, emit) as faces:
        _require_place(config, faces.model)
        table = read_faces(faces, _photos_of_people(config, faces.names), emit)
    rows, people, names = _people(table, emit)
    vectors = table.vectors[rows]
    data = {"source": config.source.name, "fingerprint": table.data, "people": len(names), "faces": len(people)}
    if config.leave_out:
        data["left_out"] = sorted(config.leave_out)
    empty = Calibration(
        model=faces.model.name,
        model_id=faces.model.id,
        flip=faces.model.flip or "none",
        genuine=0,
        impostors=0,
        data=data,
        rates=(),
        curve=(),
    )
    calibration = calibration_of(vectors, people, empty, config.workers)
    if calibration is None:
        problem = "no person has two photos, or only one person has a face"
        raise CosfaceError(problem, config.source, "add photos")
    _note_similar_people(vectors, people, names, calibration, emit)
    if unresolved := [rate["far"] for rate in calibration.rates if rate["tar"] is None]:
        needed = max(rate["impostors_needed"] for rate in calibration.rates if rate["tar"] is None)
        fars = ", ".join(f"{far:g}" for far in unresolved)
        emit(Note(f"{calibration.impostors} impostor pairs do not resolve FAR {fars}: that needs at least {needed}"))
    place = _write(config, calibration)
    return CalibrateReport(
        written=str(place),
        model=calibration.model,
        model_id=calibration.model_id,
        flip=calibration.flip,
        people=len(names),
        faces=len(people),
        genuine=calibration.genuine,
        impostors=calibration.impostors,
        rates=calibration.rates,
        data=table.data,
    )


def _photos_of_people(config: CalibrateConfig, photos: Sequence[str]) -> list[str]:
    """The photos in folders of people, without people left out. Raises CosfaceError for fewer than two people."""
    people = {first_level(photo) for photo in photos} - {""}
    if unknown := set(config.leave_out) - people:
        raise CosfaceError(f"no person is called {min(unknown)}", config.source, "correct --leave-out")
    people -= set(config.leave_out)
    if len(people) < 2:
        problem = "no two people: the first folder level is the person"
        raise CosfaceError(problem, config.source, "sort the photos into a folder per person")
    return [photo for photo in photos if first_level(photo) in people]


def _people(table: FaceTable, emit: OnOutcome) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]:
    """The rows to use (M,), the number of the person of each (M,), and the names of the people (K,)."""
    usable = np.flatnonzero(table.usable)
    names = np.array([first_level(table.names[row]) for row in usable])
    rows = _without_doubles(table.vectors[usable], names, emit)
    person_names, codes = np.unique(names[rows], return_inverse=True)
    return usable[rows], codes.astype(np.int64), person_names


def _without_doubles(vectors: NDArray[np.float32], names: NDArray[np.str_], emit: OnOutcome) -> NDArray[np.int64]:
    """The rows (M,) without doubles: each photo is used once, or not at all if it is in the folders of two people."""
    _, first, codes = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    owners: list[set[str]] = [set() for _ in first]
    for code, name in zip(codes, names, strict=True):
        owners[code].add(str(name))
    rows = [row for row, people in zip(first, owners, strict=True) if len(people) == 1]
    if shared := sorted(people for people in map(sorted, owners) if len(people) > 1):
        pairs = ", ".join(" and ".join(people) for people in shared[:3]) + (", ..." if len(shared) > 3 else "")
        emit(Note(f"{len(shared)} photos are in the folders of two people ({pairs}) and are left out"))
    return np.sort(np.array(rows, np.int64))


def _note_similar_people(
    vectors: NDArray[np.float32],
    people: NDArray[np.int64],
    names: NDArray[np.str_],
    calibration: Calibration,
    emit: OnOutcome,
) -> None:
    """Emit a note on each two people with a mean score that only one impostor pair in a thousand reaches."""
    threshold = calibration.threshold(1e-3)
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, people, vectors)
    centres = sums / np.bincount(people)[:, None]
    means = centres @ centres.T  # of all cosines between two people
    similar = np.argwhere(np.triu(means >= threshold, 1)) if threshold is not None else np.zeros((0, 2), np.int64)
    for one, other in similar[:10]:
        words = f"{names[one]} and {names[other]} look like one person to this model"
        emit(Note(f"{words}: --leave-out one of them if they are"))


def _require_place(config: CalibrateConfig, model: ModelIdentity) -> None:
    """Raises CosfaceError, before any work, if the table cannot be written."""
    if config.out is not None:
        if config.out.exists():
            read_calibrations(config.out, model)
        return
    if len(config.models) > 1:
        raise CosfaceError("there is no default file for the table of several models", hint="add --out FILE")
    (spec,) = config.models or DEFAULT_MODELS
    place_of(spec)
    wanted = identity_of(open_embedder(spec), model.flip or "none")
    model.require_same(wanted, config.source, "name the store's model with --model, or a file with --out")


def _write(config: CalibrateConfig, calibration: Calibration) -> Path:
    """Add the calibration to the file with the model's tables for other flips; returns the file."""
    if config.out is not None:
        tables = read_calibrations(config.out, calibration.identity) if config.out.exists() else {}
        write_calibrations(config.out, {**tables, calibration.flip: calibration})
        return config.out
    (spec,) = config.models or DEFAULT_MODELS
    return keep(spec, {**calibrations_of(spec, open_embedder(spec)), calibration.flip: calibration})
