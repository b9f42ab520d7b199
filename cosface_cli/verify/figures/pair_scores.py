"""Scored pairs: what every protocol ends in, and what the figures, the report and the calibration start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.engines.sources import Place
from cosface_cli.maths.bootstrap import Draws
from cosface_cli.maths.curve import Curve

BLOCK = 1 << 15  # pairs scored at a time


@dataclass(frozen=True, slots=True)
class Shown:
    """A file to look at. box: of the face in it, in its pixels; None of a crop, and where no face was found."""

    place: Place
    box: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """scores: (P,) float64, cosines, NaN where a side has no embedding; same: (P,) bool, genuine pairs.

    left, right: (P,) int64, rows of names; names: each thing compared once: a photo, a clip, a template;
    identities: of each name, "" where it is not known; fold: (P,) int64 from 1, all 1 where there are none;
    shown: of each name, the files behind it, empty where there are none to look at.
    """

    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    names: tuple[str, ...]
    identities: tuple[str, ...]
    fold: NDArray[np.int64]
    shown: tuple[tuple[Shown, ...], ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """(P,) whether a pair has a score."""
        return np.isfinite(self.scores)

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(np.unique(self.fold).size)

    @property
    def ranked(self) -> NDArray[np.float64]:
        """(P,) the scores, -inf for none, which no threshold accepts."""
        return np.where(self.known, self.scores, -np.inf)

    def counted(self, missing: str) -> NDArray[np.bool_]:
        """(P,) which pairs count: a genuine one without a score is an error that no threshold mends, or, where missing
        is "skip", no pair; an impostor pair without one never counts, so that it makes no FAR look better."""
        return self.known | (self.same if missing == "error" else False)

    def people(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The identities of the two sides as numbers from 0, (P,) each; None where one is not known."""
        if not all(self.identities):
            return None
        codes = {name: number for number, name in enumerate(dict.fromkeys(self.identities))}
        of = np.array([codes[name] for name in self.identities], np.int64)
        return of[self.left], of[self.right]

    def chosen(self, keep: NDArray[np.bool_]) -> PairScores:
        """The pairs of a mask (P,)."""
        parts = (self.scores[keep], self.same[keep], self.left[keep], self.right[keep])
        return PairScores(*parts, self.names, self.identities, self.fold[keep], self.shown)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a protocol gives for its figures: pairs, or, where they are too many to keep, their curve.

    by_folds: whether accuracy is defined, by folds; dev: pairs that the threshold is chosen on instead (LFW's View 1);
    draws: the bootstrap of a curve without pairs; groups: of the two sides of the pairs, (P,) each, where they were
    asked for. The rest as in ProtocolReport.
    """

    model: str
    model_id: str
    flip: str
    data: str
    pairs: PairScores | None = None
    curve: Curve | None = None
    draws: Draws | None = None
    by_folds: bool = False
    dev: PairScores | None = None
    missing: tuple[str, ...] = ()
    list_hash: str | None = None
    identification: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None


def pair_cosines(
    vectors: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dot products (P,) in double precision of rows left and right of vectors (N, D).

    NaN where an index is -1 or a row is NaN.
    """
    out = np.full(len(left), np.nan)
    there = (left >= 0) & (right >= 0)
    places = np.flatnonzero(there)
    for start in range(0, len(places), BLOCK):
        part = places[start : start + BLOCK]
        a, b = vectors[left[part]].astype(np.float64), vectors[right[part]].astype(np.float64)
        out[part] = np.einsum("nd,nd->n", a, b)
    return out


def rows_of(pairs: PairScores) -> Iterator[PairRow]:
    """The pairs as rows of a list, with their scores."""
    columns = (pairs.left, pairs.right, pairs.same, pairs.fold, pairs.scores)
    for left, right, same, fold, score in zip(*(column.tolist() for column in columns), strict=True):
        known = score if np.isfinite(score) else None
        names, who = pairs.names, pairs.identities
        yield PairRow(names[left], names[right], same, fold, known, who[left], who[right])
