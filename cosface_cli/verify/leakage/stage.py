"""Photos and people of a training set that are in a test set too: by content, by look, and by face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.verify import CompareConfig
from cosface_cli.verify.faces.by_name import is_store
from cosface_cli.verify.faces.photos import Photos
from cosface_cli.verify.faces.store import Stores
from cosface_cli.verify.leakage import LeakageConfig, LeakageReport
from cosface_cli.verify.leakage.copies import copies_of
from cosface_cli.verify.leakage.rescored import scored_again
from cosface_cli.verify.leakage.search import Found, search
from cosface_cli.verify.leakage.tested import Face, of_photos, of_store


def leakage(config: LeakageConfig, emit: OnOutcome = ignore) -> LeakageReport:
    """Compare the test with all that was trained on; one row is told for each find.

    People are compared by the mean of their faces. Photos of near faces are read again from where the stores say they
    are, and compared by look. Raises ModelMismatch for stores of two models, CosfaceError where the training set has no
    two people to take a threshold from.
    """
    if config.threshold is not None and "far" in config.changed():
        raise CosfaceError("--far asks for a threshold, --threshold names one", hint="leave one of them out")
    if is_store(config.test) and "faces" in config.changed():
        raise CosfaceError("--faces changes nothing about a store", config.test, "leave it out")
    require_finished(config.train)
    compare = CompareConfig(
        config.models,
        threshold=0.0,  # nothing is decided by it
        detector=config.detector,
        faces=config.faces,
        min_face=config.min_face,
        workers=config.workers,
    )
    with Stores([config.train], "mean", "all") as stores:
        header = stores.headers[0]
        photos = Photos(compare, header, config.train) if config.models or header.model in EMBEDDERS else None
        if is_store(config.test):
            test = list(of_store(config.test, stores))
        elif photos is None:
            raise CosfaceError(f"nobody knows how to embed photos as {header.model} does", hint="name it with --model")
        else:
            test = list(of_photos(config.test, photos, emit))
    if not test:
        raise CosfaceError("no face to compare", config.test, "give photos with faces, or their store")
    found = search(config, test)
    again = Photos(replace(compare, faces="all"), header, config.train) if photos is not None else None
    copies = copies_of(test, found, again, emit)
    rows = list(_rows(test, found, copies))
    for row in rows:
        emit(Done(str(row["test"]), (row,)))
    people = {person for _, person, _ in found.people}
    return LeakageReport(
        train_faces=found.faces,
        test_faces=len(test),
        threshold=found.threshold,
        same_files=len(found.files),
        copies=len(copies),
        people=len(people),
        by_chance=None if config.threshold is not None else config.far * found.trained * len({f.person for f in test}),
        scores=scored_again(config, test, {*found.files, *copies}, people, emit),
        clean=not rows,
        model=header.model,
        model_id=header.model_id,
    )


def _rows(test: Sequence[Face], found: Found, copies: Mapping[int, tuple[str, float, Row]]) -> Iterator[dict[str, Any]]:
    """Of output: photos first, then people by how near they come."""
    for number, row in sorted(found.files.items()):
        yield _row("same_file", test[number], row, 1.0)
    for number, (kind, cos, row) in sorted(copies.items()):
        yield _row(kind, test[number], row, cos)
    firsts = {face.person: face for face in reversed(test)}
    for cos, person, trained in found.people:
        yield _row("same_person", firsts[person], found.firsts[trained], cos)


def _row(kind: str, face: Face, row: Row, cos: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "test": face.name,
        "train": row.source,
        "test_identity": face.identity or None,
        "train_identity": row.identity,
        "cos": round(cos, 6),
    }
