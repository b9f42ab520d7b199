"""Intervals from resampling people: pairs of one person are not independent, so the binomial interval is too narrow.

Each draw takes as many identities as there are, with replacement. A genuine pair counts as often as its person was
drawn, an impostor pair as often as the product of its two people (the subsets bootstrap, Bolle, Ratha and Pankanti
2004; for two people Conti and Clemencon 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import allowed_accepts

DRAWS = 1000
FEWEST = 100  # draws below which an interval says nothing
WORTH = 200_000_000  # pairs times draws: some five seconds
Floats = NDArray[np.float64]


def affordable_draws(pairs: int) -> int:
    """How many draws of so many pairs are worth their time; 0 where they would be too few."""
    draws = min(DRAWS, WORTH // max(pairs, 1))
    return draws if draws >= FEWEST else 0


def identity_draws(identities: int, draws: int = DRAWS, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """How often each of K identities is drawn, (K,) int64, for each draw."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(identities, size=identities), minlength=identities)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Figures of R draws, each with thresholds of its own; NaN where a draw has no genuine or no impostor pair."""

    tar: Floats
    """(R, F), at each FAR."""
    eer: Floats
    """(R,), equal error rates."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Pairs of which the impostors with the lowest scores were left out. Figures that would need these are NaN."""

    people: int
    """How many identities are drawn. As a code it stands for everybody who is not drawn, and counts once."""
    impostors: Callable[[NDArray[np.int64]], int]
    """From how often each identity is drawn (K,) to the number of impostor pairs of the draw."""


def pair_draws(
    scores: ArrayLike,
    same: ArrayLike,
    left: ArrayLike,
    right: ArrayLike,
    fars: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
    listed: Listed | None = None,
) -> Draws:
    """TAR and equal error rate of pairs whose people are drawn again and again.

    scores: (P,), -inf for none; same: (P,) bool; left, right: (P,) int, the identities of the two sides from 0;
    fars: (F,), 0..1; listed: where the pairs are not all that there are.
    """
    values, truth, wanted = np.asarray(scores, np.float64), np.asarray(same, bool), np.asarray(fars, np.float64)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    one, other = np.asarray(left)[order], np.asarray(right)[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # the last of each group of ties
    hits, false = np.flatnonzero(truth), np.flatnonzero(~truth)
    # how many of each kind are accepted with the first k groups
    hits_at = np.append(0, np.searchsorted(hits, ends, side="right"))
    false_at = np.append(0, np.searchsorted(false, ends, side="right"))
    if values.size and values[-1] == -np.inf:  # no threshold accepts the last group
        hits_at, false_at = hits_at[:-1], false_at[:-1]
    found = Draws(np.full((draws, wanted.size), np.nan), np.full(draws, np.nan))
    people = int(max(one.max(initial=-1), other.max(initial=-1))) + 1 if listed is None else listed.people
    for row, weight in enumerate(identity_draws(people, draws, seed)):
        total = None if listed is None else listed.impostors(weight)
        weight = np.append(weight, 1)  # of those who are no people to draw: listed.people stands for them
        genuine = np.append(0, weight[one[hits]].cumsum())
        impostors = np.append(0, (weight[one[false]] * weight[other[false]]).cumsum())
        total = int(impostors[-1]) if total is None else total
        if genuine[-1] and total:
            accepted = impostors[false_at]
            allowed = np.array([allowed_accepts(far, total) for far in wanted])
            last = np.searchsorted(accepted, allowed, side="right") - 1
            tar = genuine[hits_at] / genuine[-1]
            found.tar[row] = np.where((allowed < impostors[-1]) | (total == impostors[-1]), tar[last], np.nan)
            frr, far = 1 - tar, accepted / total
            nearest = np.abs(far - frr).argmin()
            if far[-1] >= frr[-1]:  # the curve crosses within what is listed
                found.eer[row] = (far[nearest] + frr[nearest]) / 2
    return found


def pairs_between(faces: NDArray[np.int64]) -> int:
    """Pairs of faces of different people, who have so many each (K,)."""
    return (int(faces.sum()) ** 2 - int((faces**2).sum())) // 2


def share_draws(hits: ArrayLike, trials: ArrayLike, draws: int = DRAWS, seed: int = 0) -> Floats:
    """A rate in each draw (draws,): hits and trials (K,) of each identity; NaN where it drew none with trials."""
    good, all_ = np.asarray(hits, np.int64), np.asarray(trials, np.int64)
    sums = [(weight @ good, weight @ all_) for weight in identity_draws(good.size, draws, seed)]
    return np.array([a / b if b else np.nan for a, b in sums], np.float64)


def percentile_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float] | None:
    """The middle part of draws (draws,); None where more than a tenth of them gave nothing."""
    known = values[np.isfinite(values)]
    if known.size < 0.9 * values.size or not known.size:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)
