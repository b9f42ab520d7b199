"""Photos, or rows of stores, compared with each other: two, one with many, or the pairs of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.models.calibrations import calibrations_of
from cosface_cli.engines.models.ensemble import fuse_of
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.folder import PHOTOS
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected, ignore
from cosface_cli.registry import one_of
from cosface_cli.verify import CompareConfig, ManyReport, Match, flag_of
from cosface_cli.verify.compare.matching import Matcher
from cosface_cli.verify.compare.photo_warnings import Seen, of_one
from cosface_cli.verify.faces.photos import Photos

if TYPE_CHECKING:  # h5py is only for who gives a store
    from cosface_cli.verify.faces.store import Stores


def compare_two(left: str, right: str, config: CompareConfig, emit: OnOutcome = ignore) -> tuple[Match, ...]:
    """The faces of two photos or crops: one match, or with faces="all" one for each two faces, the best first.

    Raises CosfaceError where a photo has no usable face, and where neither the model nor the caller gives a threshold.
    """
    if config.stores:
        with _stores(config) as stores:
            matcher, found = _matcher(stores, config), stores.find([left, right])
        seen = [found[left], found[right]]
    else:
        photos = Photos(config)
        matcher, seen = photos.matcher, photos.of([left, right])
    for one in seen:
        _require_face(one)
    matches = sorted(matcher.matches(*seen), key=_best_first)
    told: dict[str, None] = {}
    for match in matches:
        told.update(dict.fromkeys(warned.words for warned in match.warnings))
    for words in told:
        emit(Note(words))
    return tuple(matches)


def compare_many(left: str, right: str | None, config: CompareConfig, emit: OnOutcome = ignore) -> ManyReport:
    """One photo with each of many: those of a folder, archive, crop folder, pattern or store, or all rows of
    config.stores.

    Rows are told at the end, best first. Raises CosfaceError where the one has no usable face.
    """
    if config.stores:
        if right is not None:
            raise CosfaceError("with --store both names are of its rows", right, "leave it out to compare with all")
        with _stores(config) as stores:
            one = stores.find([left])[left]
            return _many(one, stores.each(), len(stores), _matcher(stores, config), emit)
    if right is None:
        raise CosfaceError("nothing to compare it with", left, "give a second photo, a folder or a store")
    if _names_store(right):
        from cosface_cli.verify.faces.store import Stores

        path = Path(right)
        with Stores([path], "mean", "all") as stores:
            photos = Photos(config, stores.headers[0], path)
            (one,) = photos.of([left])
            return _many(one, stores.each(), len(stores), photos.matcher, emit)
    photos = Photos(config)
    gallery = photos.gallery(right, emit)
    (one,) = photos.of([left])
    return _many(one, photos.each(gallery), len(gallery), photos.matcher, emit)


def compare_list(pairs: Sequence[tuple[str, str]], config: CompareConfig, emit: OnOutcome = ignore) -> ManyReport:
    """Each pair of photos, or of names of config.stores; each photo is read once. Rows are told in order."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    emit(Planned(len(pairs)))
    if config.stores:
        with _stores(config) as stores:
            matcher, found = _matcher(stores, config), stores.find(names)
        return _listed(pairs, (found[name] for name in names), matcher, emit)
    photos = Photos(config)
    return _listed(pairs, photos.each(photos.named(names)), photos.matcher, emit)


def _names_store(word: str) -> bool:
    """Whether a word of the command line names a store; told by its ending, before h5py is loaded."""
    return word.endswith(".h5") and Path(word).is_file()


def are_many(word: str) -> bool:
    """Whether it names many photos rather than one: a folder, an archive, a video, a store or a pattern."""
    path = Path(word)
    if path.is_dir() or _names_store(word):
        return True
    if path.suffix.lower() in PHOTOS or not path.is_file():
        return not path.exists() and any(letter in word for letter in "*?[")
    listing = list_photos(word)
    return [item.place for item in listing.items] != [File(path)]


def _many(one: Seen, others: Iterator[Seen], count: int, matcher: Matcher, emit: OnOutcome) -> ManyReport:
    _require_face(one)
    for warned in of_one(one):
        emit(Note(warned.words))
    emit(Planned(count))
    kept: list[Match] = []
    rejected = same = 0
    for other in others:
        matches = list(matcher.matches(one, other))
        if not other.usable:
            rejected += 1
            emit(_rejected(other, matches[0]))
            continue
        kept += matches
        same += any(match.same for match in matches)
        for words in dict.fromkeys(w.words for match in matches for w in match.warnings if w.photo is None):
            emit(Note(words))
    for match in sorted(kept, key=_best_first):
        emit(Done(match.right, (asdict(match),)))
    return ManyReport(count - rejected, same, rejected)


def _listed(pairs: Sequence[tuple[str, str]], photos: Iterator[Seen], matcher: Matcher, emit: OnOutcome) -> ManyReport:
    waiting = Counter(name for pair in pairs for name in pair)
    known: dict[str, Seen] = {}
    rejected = same = 0
    for left, right in pairs:
        while left not in known or right not in known:
            seen = next(photos)
            known[seen.name] = seen
        both = known[left], known[right]
        matches = sorted(matcher.matches(*both), key=_best_first)
        bad = next((one for one in both if not one.usable), None)
        if bad is not None:
            rejected += 1
            emit(_rejected(bad, matches[0]))
        else:
            same += any(match.same for match in matches)
            emit(Done(f"{left} {right}", tuple(map(asdict, matches))))
        for name in (left, right):  # a photo that no later pair needs is forgotten
            waiting[name] -= 1
            if not waiting[name]:
                known.pop(name, None)
    return ManyReport(len(pairs) - rejected, same, rejected)


def _rejected(bad: Seen, match: Match) -> Rejected:
    return Rejected(bad.name, match.reason or "no_face", bad.vectors.words, asdict(match))


def _require_face(one: Seen) -> None:
    if not one.usable:
        raise CosfaceError(one.vectors.words)


def _best_first(match: Match) -> float:
    return -2.0 if match.cos is None else -match.cos


def _stores(config: CompareConfig) -> Stores:
    from cosface_cli.verify.faces.store import Stores

    one_of(config.faces, CHOICES, "--faces")
    for option in sorted(config.changed() & {"detector", "min_face", "workers"}):
        raise CosfaceError(f"{flag_of(option)} changes nothing about a store", config.stores[0], "leave it out")
    return Stores(config.stores, fuse_of(config.fuse, len(config.stores)), config.faces)


def _matcher(stores: Stores, config: CompareConfig) -> Matcher:
    """By what is known of the stores' model: an embedded one's, or that of the weights which config.models names."""
    headers = stores.headers
    if config.flip not in ("none", headers[0].flip):
        raise CosfaceError(f"written with --flip {headers[0].flip}", stores.paths[0], "leave --flip out")
    if config.models and len(config.models) != len(headers):
        raise CosfaceError(f"{len(config.models)} models for {len(headers)} stores", hint="name one for each, or none")
    for spec, header, path in zip(config.models, headers, stores.paths, strict=False):
        embedder = open_embedder(spec)
        if embedder.model_id != header.model_id:
            problem = f"embeddings of {header.model} ({header.model_id}), not of {embedder.name} ({embedder.model_id})"
            raise ModelMismatch(problem, path, "name the store's model, or leave --model out")
    spec = config.models[0] if config.models else headers[0].model
    if len(headers) > 1 or (not config.models and spec not in EMBEDDERS):
        return Matcher(stores.identity, config, {}, {})
    embedder = open_embedder(spec)
    return Matcher(stores.identity, config, calibrations_of(spec, embedder), embedder.thresholds)
