"""The pairs of a list, scored: each face is embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.lfw_lists import is_people_list, read_pairs, read_people
from cosface_cli.artifacts.lists.pair_table import PairRow, list_kind, read_pair_rows
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify.faces.source import FacePicture, FaceSource, FaceTable, first_level, read_faces
from cosface_cli.verify.figures.protocol_scores import PairScores, pair_cosines
from cosface_cli.verify.protocols.protocol_config import PairListConfig


def find_list(config: PairListConfig, name: str, photos: str) -> tuple[Path, Path]:
    """The photos' root and the list: config.pairs, or the file `name` in source, next to a folder `photos` or to the
    photos. Raises CosfaceError if there is no list."""
    source = config.source
    if config.pairs is not None:
        return source, config.pairs
    if not source.exists():
        raise CosfaceError("no such file or folder", source)
    if not (source / name).is_file():
        raise CosfaceError(f"no {name} in this folder", source, "name the list with --pairs")
    return (source / photos if (source / photos).is_dir() else source), source / name


def read_listed_faces(
    faces: FaceSource, names: Sequence[str], listed: Path, emit: OnOutcome
) -> tuple[FaceTable, NDArray[np.int64]]:
    """The faces of the photos that a list names, and the row of each name (N,), -1 if there is no such photo.

    Raises CosfaceError if none of the photos exists.
    """
    sources = [faces.find(name) for name in names]
    table_names = tuple(dict.fromkeys(source for source in sources if source is not None))
    if not table_names:
        example = f", such as {names[0]}" if names else ""
        raise CosfaceError(f"none of the photos of {listed} exist here{example}", faces.path, "give their root folder")
    table = read_faces(faces, table_names, emit)
    row = {name: number for number, name in enumerate(table_names)}
    return table, np.array([-1 if source is None else row[source] for source in sources], np.int64)


def score_pairs(
    pairs: Sequence[PairRow], faces: FaceSource, listed: Path, emit: OnOutcome
) -> tuple[PairScores, FaceTable, tuple[str, ...]]:
    """The scores of a list's pairs, the table of their faces, and the names without an embedding, in order.

    Raises CosfaceError if none of the photos exists, and for a photo of two identities.
    """
    identities: dict[str, str] = {}
    for pair in pairs:
        for name, identity in ((pair.left, pair.left_identity), (pair.right, pair.right_identity)):
            if identities.setdefault(name, identity) != identity:
                raise CosfaceError(f"{name} is both {identities[name]!r} and {identity!r}", listed, "correct the list")
    names = tuple(identities)
    table, rows = read_listed_faces(faces, names, listed, emit)
    number_of = {name: number for number, name in enumerate(names)}
    left = np.array([number_of[pair.left] for pair in pairs], np.int64)
    right = np.array([number_of[pair.right] for pair in pairs], np.int64)
    scores = PairScores(
        scores=pair_cosines(table.vectors, rows[left], rows[right]),
        same=np.array([pair.same for pair in pairs], bool),
        left=left,
        right=right,
        names=names,
        identities=tuple(identities.values()),
        fold=np.array([pair.fold for pair in pairs], np.int64),
        pictures=pictures_of(table, rows),
    )
    return scores, table, names_without_face(names, table, rows)


def pictures_of(table: FaceTable, rows: NDArray[np.int64]) -> tuple[tuple[FacePicture, ...], ...]:
    """The picture of each row of a table; none for -1."""
    return tuple((table.pictures[row],) if row >= 0 else () for row in rows)


def names_without_face(names: Sequence[str], table: FaceTable, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """The names whose row has no embedding, or is -1."""
    usable = table.usable
    return tuple(name for name, row in zip(names, rows, strict=True) if row < 0 or not usable[row])


def names_in(listed: Path) -> frozenset[str]:
    """The names in a list of any kind."""
    if list_kind(listed) != "lfw":
        return frozenset(name for row in read_pair_rows(listed) for name in (row.left, row.right))
    if is_people_list(listed):
        return frozenset(name for person in read_people(listed) for name in person.names)
    return frozenset(name for pair in read_pairs(listed).pairs for name in (pair.left, pair.right))


def guess_identities(pairs: Sequence[PairRow]) -> Sequence[PairRow]:
    """The pairs with the first level of each name as its identity, if that agrees with every pair; else unchanged.

    A list that states identities is unchanged too.
    """
    if any(pair.left_identity or pair.right_identity for pair in pairs):
        return pairs
    guessed = [replace(p, left_identity=first_level(p.left), right_identity=first_level(p.right)) for p in pairs]
    agree = all(
        p.left_identity and p.right_identity and (p.left_identity == p.right_identity) == p.same for p in guessed
    )
    return guessed if agree else pairs
