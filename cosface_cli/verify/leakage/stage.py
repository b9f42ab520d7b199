"""Photos and people of a training set that are in a test set too: by content, by thumbnail, and by face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.verify.compare import CompareConfig
from cosface_cli.verify.faces.embedding import Embedding
from cosface_cli.verify.faces.open_faces import is_store
from cosface_cli.verify.faces.photos import PhotoFaces, inputs_of_gallery, inputs_of_paths
from cosface_cli.verify.faces.store import StoreFaces
from cosface_cli.verify.leakage import LeakageConfig, LeakageReport
from cosface_cli.verify.leakage.copies import copies_of
from cosface_cli.verify.leakage.rescoring import score_without_shared
from cosface_cli.verify.leakage.shared_faces import SharedFaces, find_shared
from cosface_cli.verify.leakage.tested_faces import FaceOfTest, faces_of_photos, faces_of_store
from cosface_cli.verify.stage import embedding_like_store


def leakage(config: LeakageConfig, emit: OnOutcome = ignore) -> LeakageReport:
    """Compare the test set with the training set; one row is emitted for each photo or person in both.

    People are compared by the mean of their faces. Photos of near faces are read from the paths in the stores, and
    compared by their thumbnails. Raises ModelMismatch for stores of two models, CosfaceError if the training set has
    only one person and no threshold is set.
    """
    if config.threshold is not None and "far" in config.changed():
        raise CosfaceError("--far and --threshold exclude each other", hint="leave one of them out")
    if is_store(config.test) and "faces" in config.changed():
        raise CosfaceError("--faces has no effect on a store", config.test, "leave it out")
    require_finished(config.train)
    photo_config = CompareConfig(
        models=config.models,
        detector=config.detector,
        faces=config.faces,
        min_face=config.min_face,
        workers=config.workers,
    )
    with StoreFaces(config.train, "all") as train:
        model = train.model
        can_embed = bool(config.models) or model.name in EMBEDDERS
        if can_embed:
            photo_config, embedding = embedding_like_store(photo_config, train)
    if is_store(config.test):
        test = list(faces_of_store(config.test, model))
    elif can_embed:
        inputs = inputs_of_gallery(str(config.test), emit)
        test = list(faces_of_photos(PhotoFaces(config.test, inputs, photo_config, embedding), list(inputs), emit))
    else:
        problem = f"photos cannot be embedded by {model.name!r}, which is not a model of the catalogue"
        raise CosfaceError(problem, config.test, "name its run folder or weights with --model")
    if not test:
        raise CosfaceError("no face to compare", config.test, "give photos with faces, or their store")
    shared = find_shared(config, test)

    def all_faces(paths: Sequence[str]) -> PhotoFaces:
        every_face = replace(photo_config, faces="all")
        return PhotoFaces(Path(), inputs_of_paths(paths), every_face, Embedding(every_face, thumbnails=True))

    copies = copies_of(test, shared, all_faces if can_embed else None, emit)
    rows = list(_rows(test, shared, copies))
    for row in rows:
        emit(Done(str(row["test"]), (row,)))
    people = {person for _, person, _ in shared.people}
    return LeakageReport(
        train_faces=shared.train_faces,
        test_faces=len(test),
        threshold=shared.threshold,
        same_files=len(shared.files),
        copies=len(copies),
        people=len(people),
        by_chance=None
        if config.threshold is not None
        else config.far * shared.train_people * len({face.person for face in test}),
        scores=score_without_shared(config, test, {*shared.files, *copies}, people, emit),
        clean=not rows,
        model=model.name,
        model_id=model.id,
    )


def _rows(
    test: Sequence[FaceOfTest], shared: SharedFaces, copies: Mapping[int, tuple[str, float, FaceRow]]
) -> Iterator[dict[str, object]]:
    """Rows of output: photos first, then people by descending cosine."""
    for number, row in sorted(shared.files.items()):
        yield _row("same_file", test[number], row, 1.0)
    for number, (kind, cos, row) in sorted(copies.items()):
        yield _row(kind, test[number], row, cos)
    first_faces = {face.person: face for face in reversed(test)}
    for cos, person, trained in shared.people:
        yield _row("same_person", first_faces[person], shared.first_rows[trained], cos)


def _row(kind: str, face: FaceOfTest, row: FaceRow, cos: float) -> dict[str, object]:
    return {
        "kind": kind,
        "test": face.name,
        "train": row.source,
        "test_identity": face.identity or None,
        "train_identity": row.identity,
        "cos": round(cos, 6),
    }
