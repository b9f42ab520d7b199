"""The pairs of a list, scored: each face embedded once, whatever gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.lists.lfw_lists import is_people_list, read_pairs, read_people
from cosface_cli.artifacts.lists.pair_table import PairRow, list_kind, read_pair_rows
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import Embedded, Faces
from cosface_cli.verify.figures.pair_scores import PairScores, pair_cosines


def places(config: ProtocolConfig, name: str, photos: str) -> tuple[Path, Path]:
    """The photos' root and the list: pairs under source, or a list called `name` in source, beside a folder `photos` or
    the photos themselves. Raises CosfaceError where it is not there."""
    source = config.source
    if config.pairs is not None:
        return source, config.pairs
    if not (source / name).is_file():
        raise CosfaceError(f"no {name} here", source, "name the list with --pairs")
    return (source / photos if (source / photos).is_dir() else source), source / name


def score_pairs(
    pairs: Sequence[PairRow], faces: Faces, listed: Path, root: Path, emit: OnOutcome
) -> tuple[PairScores, Embedded, tuple[str, ...]]:
    """The scores of a list's pairs, what was embedded for them, and the names without an embedding, in order.

    Raises CosfaceError where root has none of the faces.
    """
    identities: dict[str, str] = {}
    for pair in pairs:
        for name, identity in ((pair.left, pair.left_identity), (pair.right, pair.right_identity)):
            if identities.setdefault(name, identity) != identity:
                raise CosfaceError(f"{name} is both {identities[name]!r} and {identity!r}", listed, "correct the list")
    found = {name: there for name in identities if (there := faces.find(name)) is not None}
    if not found:
        problem = f"none of the photos of {listed} are here, as {next(iter(identities))}"
        raise CosfaceError(problem, root, "give their root folder")
    wanted = tuple(dict.fromkeys(found.values()))
    embedded = faces.embed(wanted, emit)
    row = {name: number for number, name in enumerate(wanted)}
    names = tuple(identities)
    # names that are nowhere have no row: -1
    rows = np.array([row[found[name]] if name in found else -1 for name in names], np.int64)
    place = {name: number for number, name in enumerate(names)}
    left = np.array([place[pair.left] for pair in pairs], np.int64)
    right = np.array([place[pair.right] for pair in pairs], np.int64)
    scores = PairScores(
        scores=pair_cosines(embedded.vectors, rows[left], rows[right]),
        same=np.array([pair.same for pair in pairs], bool),
        left=left,
        right=right,
        names=names,
        identities=tuple(identities.values()),
        fold=np.array([pair.fold for pair in pairs], np.int64),
        shown=tuple((embedded.shown[number],) if number >= 0 else () for number in rows),
    )
    lost = set(embedded.missing)
    return scores, embedded, tuple(name for name in names if name not in found or found[name] in lost)


def names_in(listed: Path) -> frozenset[str]:
    """The names in a list of any kind."""
    if list_kind(listed) != "lfw":
        return frozenset(name for row in read_pair_rows(listed) for name in (row.left, row.right))
    if is_people_list(listed):
        return frozenset(name for person in read_people(listed) for name in person.names)
    return frozenset(name for pair in read_pairs(listed).pairs for name in (pair.left, pair.right))


def first_level(name: str) -> str:
    """Who a photo shows where each person has a folder: the first level of its name, "" without one."""
    head, slash, _ = name.partition("/")
    return head if slash else ""


def guess_identities(pairs: Sequence[PairRow]) -> Sequence[PairRow]:
    """The pairs with the identities that their names tell, where that agrees with every pair, else as they are.

    So are lists left that say who people are.
    """
    if any(pair.left_identity or pair.right_identity for pair in pairs):
        return pairs
    told = [replace(p, left_identity=first_level(p.left), right_identity=first_level(p.right)) for p in pairs]
    fits = all(p.left_identity and p.right_identity and (p.left_identity == p.right_identity) == p.same for p in told)
    return told if fits else pairs
