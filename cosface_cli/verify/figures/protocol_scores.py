"""Scored pairs: the result of every protocol, from which its figures are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.maths.bootstrap import Draws
from cosface_cli.maths.curve import Curve
from cosface_cli.verify.faces.source import FacePicture

BLOCK = 1 << 15  # pairs scored at a time
Missing = Literal["error", "skip"]
Groups = tuple[NDArray[np.str_], NDArray[np.str_]]  # of the left and the right side of each pair, (P,)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PairScores:
    """P pairs of N things that are compared: photos, clips or templates."""

    scores: NDArray[np.float64]
    """(P,) cosines, NaN if a side has no embedding."""
    same: NDArray[np.bool_]
    """(P,) which pairs are genuine."""
    left: NDArray[np.int64]
    """(P,) indices of names."""
    right: NDArray[np.int64]
    names: tuple[str, ...]
    """(N,)"""
    identities: tuple[str, ...]
    """(N,), "" if the identity is not known."""
    fold: NDArray[np.int64]
    """(P,) from 1; all 1 without folds."""
    pictures: tuple[tuple[FacePicture, ...], ...] = ()
    """(N,) the files of each name; empty if there are no files to show."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(P,) which pairs have a score."""
        return np.isfinite(self.scores)

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(np.unique(self.fold).size)

    @property
    def ranked(self) -> NDArray[np.float64]:
        """(P,) the scores; -inf, which no threshold accepts, for a pair without a score."""
        return np.where(self.known, self.scores, -np.inf)

    def counted(self, missing: Missing) -> NDArray[np.bool_]:
        """(P,) which pairs count.

        A genuine pair without a score is an error at every threshold, or is left out if missing is "skip". An impostor
        pair without a score never counts, so that it does not lower the FAR.
        """
        return self.known | (self.same if missing == "error" else False)

    def people(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The identities of the two sides as numbers from 0, (P,) each; None if an identity is not known."""
        if not all(self.identities):
            return None
        codes = {name: number for number, name in enumerate(dict.fromkeys(self.identities))}
        of_name = np.array([codes[name] for name in self.identities], np.int64)
        return of_name[self.left], of_name[self.right]

    def subset(self, mask: NDArray[np.bool_]) -> PairScores:
        """The pairs of a mask (P,)."""
        return replace(
            self,
            scores=self.scores[mask],
            same=self.same[mask],
            left=self.left[mask],
            right=self.right[mask],
            fold=self.fold[mask],
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProtocolScores:
    """The scores of a protocol: pairs, or their curve if there are too many pairs to keep."""

    model: ModelIdentity
    data: str
    """Hash of the faces compared."""
    pairs: PairScores | None = None
    curve: Curve | None = None
    draws: Draws | None = None
    """Bootstrap of a curve without pairs."""
    by_folds: bool = False
    """Whether accuracy by folds is defined."""
    dev: PairScores | None = None
    """Pairs that the threshold is chosen on instead, as in LFW's View 1."""
    missing: tuple[str, ...] = ()
    """Names without a score."""
    missing_rule: Missing = "error"
    list_hash: str | None = None
    identification: Mapping[str, object] | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    groups: Groups | None = None


def pair_cosines(
    vectors: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dot products (P,) in double precision of rows left and right of vectors (N, D).

    NaN where an index is -1 or a row is NaN.
    """
    out = np.full(len(left), np.nan)
    places = np.flatnonzero((left >= 0) & (right >= 0))
    for start in range(0, len(places), BLOCK):
        part = places[start : start + BLOCK]
        a, b = vectors[left[part]].astype(np.float64), vectors[right[part]].astype(np.float64)
        out[part] = np.einsum("nd,nd->n", a, b)
    return out


def pair_rows(pairs: PairScores) -> Iterator[PairRow]:
    """The pairs as rows of a list, with their scores."""
    columns = (pairs.left, pairs.right, pairs.same, pairs.fold, pairs.scores)
    for left, right, same, fold, score in zip(*(column.tolist() for column in columns), strict=True):
        yield PairRow(
            left=pairs.names[left],
            right=pairs.names[right],
            same=same,
            fold=fold,
            score=score if np.isfinite(score) else None,
            left_identity=pairs.identities[left],
            right_identity=pairs.identities[right],
        )
