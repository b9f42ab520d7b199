"""The functions of verify: compare photos or rows of stores, and evaluate a model by a protocol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.folder import PHOTOS
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Note, OnOutcome, Planned, ignore
from cosface_cli.verify.compare import CompareConfig, ManyReport, Match
from cosface_cli.verify.compare.comparing import compare_faces, compare_pairs, compare_with_many
from cosface_cli.verify.compare.matching import matcher_of_photos, matcher_of_stores
from cosface_cli.verify.faces.embedding import Embedding
from cosface_cli.verify.faces.photos import PhotoFaces, inputs_of_gallery, inputs_of_paths
from cosface_cli.verify.protocols import name_of
from cosface_cli.verify.protocols.protocol_config import ProtocolConfig

if TYPE_CHECKING:  # h5py and scipy are loaded only where they are needed
    from cosface_cli.verify.faces.store import StoreFaces
    from cosface_cli.verify.figures import ProtocolReport
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores


def compare_two(left: str, right: str, config: CompareConfig, emit: OnOutcome = ignore) -> tuple[Match, ...]:
    """Compare two photos or crops: one match, or with faces="all" one for each two faces, best first.

    Raises CosfaceError if a photo has no usable face, and if neither the model nor the config has a threshold.
    """
    if config.stores:
        from cosface_cli.verify.compare.fused_stores import FusedStores

        with FusedStores(config) as stores:
            matcher = matcher_of_stores(stores, config)
            photos = {photo.name: photo for photo in stores.photos([left, right])}
    else:
        embedding = Embedding(config, thumbnails=True)
        matcher = matcher_of_photos(embedding, config)
        faces = PhotoFaces(Path(left), inputs_of_paths([left, right]), config, embedding)
        photos = {photo.name: photo for photo in faces.photos([left, right])}
    return compare_faces(photos[left], photos[right], matcher, emit)


def compare_many(left: str, right: str | None, config: CompareConfig, emit: OnOutcome = ignore) -> ManyReport:
    """Compare one photo with many: those of a folder, archive, crop folder, pattern or store, or all rows of
    config.stores.

    Rows are emitted at the end, best first. Raises CosfaceError if the photo has no usable face.
    """
    if config.stores:
        from cosface_cli.verify.compare.fused_stores import FusedStores

        if right is not None:
            raise CosfaceError("with --store both names are of its rows", right, "leave it out to compare with all")
        with FusedStores(config) as stores:
            (photo,) = stores.photos([left])
            return compare_with_many(photo, stores.each_face(), len(stores), matcher_of_stores(stores, config), emit)
    if right is None:
        raise CosfaceError("nothing to compare it with", left, "give a second photo, a folder or a store")
    if _names_store(right):
        from cosface_cli.verify.faces.store import StoreFaces

        with StoreFaces(Path(right), "all") as store:
            config, embedding = embedding_like_store(config, store)
            matcher = matcher_of_photos(embedding, config)
            (photo,) = PhotoFaces(Path(left), inputs_of_paths([left]), config, embedding).photos([left])
            others = (other for _, other in store.each_face())
            return compare_with_many(photo, others, len(store), matcher, emit)
    embedding = Embedding(config, thumbnails=True)
    matcher = matcher_of_photos(embedding, config)
    gallery = inputs_of_gallery(right, emit)
    faces = PhotoFaces(Path(right), {**inputs_of_paths([left]), **gallery}, config, embedding)
    (photo,) = faces.photos([left])
    return compare_with_many(photo, faces.photos(list(gallery)), len(gallery), matcher, emit)


def compare_list(pairs: Sequence[tuple[str, str]], config: CompareConfig, emit: OnOutcome = ignore) -> ManyReport:
    """Compare pairs of photos, or of names in config.stores. Each photo is read once. Rows are emitted in order."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    emit(Planned(len(pairs)))
    if config.stores:
        from cosface_cli.verify.compare.fused_stores import FusedStores

        with FusedStores(config) as stores:
            return compare_pairs(pairs, stores.photos(names), matcher_of_stores(stores, config), emit)
    embedding = Embedding(config, thumbnails=True)
    matcher = matcher_of_photos(embedding, config)
    faces = PhotoFaces(Path(), inputs_of_paths(names), config, embedding)
    return compare_pairs(pairs, faces.photos(names), matcher, emit)


def are_many(argument: str) -> bool:
    """Whether an argument names many photos, not one: a folder, an archive, a video, a store or a pattern."""
    path = Path(argument)
    if path.is_dir() or _names_store(argument):
        return True
    if path.suffix.lower() in PHOTOS or not path.is_file():
        return not path.exists() and any(letter in argument for letter in "*?[")
    return [item.place for item in list_photos(argument).items] != [File(path)]


def embedding_like_store(config: CompareConfig, store: StoreFaces) -> tuple[CompareConfig, Embedding]:
    """The config with the model and flip of a store, and its embedding, for photos to compare with the store.

    Raises ModelMismatch if the config names another model or flip.
    """
    flip = store.model.flip or "none"
    if config.flip not in ("none", flip):
        raise ModelMismatch(f"made with --flip {flip}, expected --flip {config.flip}", store.path, "leave --flip out")
    if not config.models and store.model.name not in EMBEDDERS:
        problem = f"made with {store.model.name!r} ({store.model.id}), which is not a model of the catalogue"
        raise CosfaceError(problem, store.path, "name its run folder or weights with --model")
    config = replace(config, models=config.models or (store.model.name,), flip=flip)
    embedding = Embedding(config, thumbnails=True)
    store.model.require_same(embedding.model, store.path, "name the store's model with --model")
    return config, embedding


def verify_protocol(config: ProtocolConfig, emit: OnOutcome = ignore) -> ProtocolReport:
    """The figures of a protocol. Raises CosfaceError for sources and lists that do not fit it."""
    return run_protocol(config, emit)[1]


def run_protocol(config: ProtocolConfig, emit: OnOutcome = ignore) -> tuple[ProtocolScores, ProtocolReport]:
    """The figures of a protocol, with the scores that they are computed from."""
    import numpy as np

    from cosface_cli.artifacts.lists.pair_table import write_pair_rows
    from cosface_cli.verify.figures.protocol_figures import report_of
    from cosface_cli.verify.figures.protocol_scores import pair_rows

    started = time.monotonic()
    protocol, file = name_of(config), config.scores_file()
    if file is not None and not file.parent.is_dir():
        raise CosfaceError("no such folder", file.parent, "create it first")
    scores = config.score(emit)
    if file is not None:
        if scores.pairs is None:
            raise CosfaceError(f"{protocol} has no list of pairs to write", config.source, "leave --scores out")
        write_pair_rows(file, pair_rows(scores.pairs))
    if scores.pairs is not None:
        known = scores.pairs.scores[scores.pairs.known]
        left_out = len(scores.pairs.scores) - known.size
        if known.size > 1 and np.ptp(known) == 0:
            emit(Note("all pairs have the same score: the network does not distinguish faces"))
        if scores.missing_rule == "skip" and left_out:
            emit(Note(f"{left_out} of {len(scores.pairs.scores)} pairs have no score and are left out"))
    return scores, report_of(protocol, scores, config.source, time.monotonic() - started)


def _names_store(argument: str) -> bool:
    """Whether an argument names a store, judged by its ending, because h5py should not be loaded for this."""
    return argument.endswith(".h5") and Path(argument).is_file()
