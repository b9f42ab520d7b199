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
from cosface_cli.verify.centres import SAMPLE, Gathering, pairs_over, stranger_threshold
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

    @property
    def person(self) -> str:
        """Whom it counts for: a face of nobody known is somebody of his own."""
        return self.identity or self.name


@dataclass(slots=True, eq=False)
class _Found:
    """files: by test face, the training row of the same content; near: the nearest rows over the threshold, best first;
    people: cosine, person of the test and person of the training set, best first; firsts: by person of the training
    set, a row; threshold: of people; faces, trained: how many faces and people were trained on."""

    files: dict[int, Row] = field(default_factory=dict)
    near: dict[int, list[tuple[float, Row, NDArray[np.float32]]]] = field(default_factory=dict)
    people: list[tuple[float, str, str]] = field(default_factory=list)
    firsts: dict[str, Row] = field(default_factory=dict)
    threshold: float = 1.0
    faces: int = 0
    trained: int = 0


def leakage(config: LeakageConfig, tell: Tell = ignore) -> LeakageReport:
    """Compare the test with all that was trained on; one row is told for each find.

    People are compared by the mean of their faces. Photos of near faces are read again from where the stores say they
    are, and compared by look. Raises ModelMismatch for stores of two models, CosfaceError where the training set has no
    two people to take a threshold from.
    """
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
            test = list(_of_store(config.test, stores))
        elif photos is None:
            raise CosfaceError(f"nobody knows how to embed photos as {header.model} does", mend="name it with --model")
        else:
            test = list(_of_photos(config.test, photos, tell))
    if not test:
        raise CosfaceError("no face to compare", config.test, "give photos with faces, or their store")
    found = _compared(config, test)
    again = Photos(replace(compare, faces="all"), header, config.train) if photos is not None else None
    copies = _copies(test, found, again, tell)
    rows = list(_rows(test, found, copies))
    for row in rows:
        tell(Done(str(row["test"]), (row,)))
    people = {person for _, person, _ in found.people}
    return LeakageReport(
        train_faces=found.faces,
        test_faces=len(test),
        threshold=found.threshold,
        same_files=len(found.files),
        copies=len(copies),
        people=len(people),
        by_chance=None if config.threshold is not None else config.far * found.trained * len({f.person for f in test}),
        scores=_scored_again(config, test, {*found.files, *copies}, people, tell),
        clean=not rows,
        model=header.model,
        model_id=header.model_id,
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


def _compared(config: LeakageConfig, test: Sequence[_Face]) -> _Found:
    found = _Found()
    by_hash: dict[str, list[int]] = {}
    for number, face in enumerate(test):
        by_hash.setdefault(face.hash, []).append(number)
    with Store(config.train) as store:
        found.faces = len(store)
        every = -(-len(store) // SAMPLE)
        gathering, sample, codes = Gathering(store.header.size), [], []
        for block, rows in _blocks(store):
            for row in rows:
                found.firsts.setdefault(row.identity or row.source, row)
                for number in by_hash.get(row.hash, ()):
                    found.files.setdefault(number, row)
            numbers = gathering.add(block, [row.identity or row.source for row in rows])
            sample.append(block[::every])
            codes.append(numbers[::every])
        trained = gathering.centres()
        found.trained = len(trained.names)
        threshold = config.threshold
        if threshold is None:
            threshold = stranger_threshold(np.concatenate(sample), np.concatenate(codes), trained, config.far)
        if threshold is None:
            raise CosfaceError("only one person in it: no threshold to be found", config.train, "give one: --threshold")
        found.threshold = threshold
        own = Gathering(store.header.size)
        own.add(np.stack([face.vector for face in test]), [face.person for face in test])
        tested = own.centres()
        pairs = pairs_over(tested, trained, threshold)
        found.people = [(cos, tested.names[one], trained.names[other]) for cos, one, other in pairs]
        vectors = np.stack([face.vector for face in test]).T  # (D, M)
        for block, rows in _blocks(store):
            cosines = block @ vectors
            for at, number in np.argwhere(cosines >= threshold):
                near = found.near.setdefault(int(number), [])
                near.append((float(cosines[at, number]), rows[at], block[at]))
                near.sort(key=lambda one: -one[0])
                del near[LOOKED_AT:]
    return found


def _blocks(store: Store) -> Iterator[tuple[NDArray[np.float32], list[Row]]]:
    for low in range(0, len(store), CHUNK):
        high = min(low + CHUNK, len(store))
        yield store.vectors(low, high), list(store.rows(low, high))


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
        yield _row("same_file", test[number], row, 1.0)
    for number, (kind, cos, row) in sorted(copies.items()):
        yield _row(kind, test[number], row, cos)
    firsts = {face.person: face for face in reversed(test)}
    for cos, person, trained in found.people:
        yield _row("same_person", firsts[person], found.firsts[trained], cos)


def _row(kind: str, face: _Face, row: Row, cos: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "test": face.name,
        "train": row.source,
        "test_identity": face.identity or None,
        "train_identity": row.identity,
        "cos": round(cos, 6),
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
        apart = np.array([face.person not in people for face in test])
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
