"""Intervals by resampling people: pairs of one person are not independent, so the binomial interval is too narrow.

Each draw samples as many identities as there are, with replacement. The weight of a genuine pair is the number of times
its person was drawn; the weight of an impostor pair is the product of these numbers for its two people (the subsets
bootstrap, Bolle, Ratha and Pankanti 2004; for two people Conti and Clemencon 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import allowed_accepts

DRAWS = 1000
FEWEST = 100  # with fewer draws an interval is meaningless
WORTH = 200_000_000  # limit of pairs times draws: about five seconds
Floats = NDArray[np.float64]


def affordable_draws(pairs: int) -> int:
    """The number of draws of this many pairs that WORTH allows; 0 if that is fewer than FEWEST."""
    draws = min(DRAWS, WORTH // max(pairs, 1))
    return draws if draws >= FEWEST else 0


def identity_draws(identities: int, draws: int = DRAWS, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """For each draw: the number of times (K,) int64 that each of K identities is drawn."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(identities, size=identities), minlength=identities)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Figures of R draws. Each draw has its own thresholds; its figures are NaN without genuine or impostor pairs."""

    tar: Floats
    """(R, F), at each FAR."""
    eer: Floats
    """(R,), equal error rates."""


@dataclass(frozen=True, slots=True)
class TruncatedPairs:
    """Describes a list without the impostor pairs of lowest score. Figures that would need those pairs are NaN."""

    people: int
    """Number K of identities that are drawn. The code K stands for everybody who is not drawn, with weight 1."""
    impostors: Callable[[NDArray[np.int64]], int]
    """From the number of times that each identity is drawn (K,) to the number of impostor pairs of the draw, listed or
    not."""


def pair_draws(
    scores: ArrayLike,
    same: ArrayLike,
    left: ArrayLike,
    right: ArrayLike,
    fars: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
    truncated: TruncatedPairs | None = None,
) -> Draws:
    """TAR and equal error rate of the pairs in each draw of people.

    scores: (P,), -inf for a pair without a score; same: (P,) bool; left, right: (P,) int, the identities of the two
    sides, from 0; fars: (F,), 0..1; truncated: if impostor pairs are missing from the list.
    """
    values, truth, rates = np.asarray(scores, np.float64), np.asarray(same, bool), np.asarray(fars, np.float64)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    left_codes, right_codes = np.asarray(left)[order], np.asarray(right)[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # the last of each group of ties
    hits, false = np.flatnonzero(truth), np.flatnonzero(~truth)
    # number of pairs of each kind that are accepted with the first k groups
    hits_at = np.append(0, np.searchsorted(hits, ends, side="right"))
    false_at = np.append(0, np.searchsorted(false, ends, side="right"))
    if values.size and values[-1] == -np.inf:  # no threshold accepts the last group
        hits_at, false_at = hits_at[:-1], false_at[:-1]
    result = Draws(np.full((draws, rates.size), np.nan), np.full(draws, np.nan))
    highest = int(max(left_codes.max(initial=-1), right_codes.max(initial=-1)))
    people = highest + 1 if truncated is None else truncated.people
    for row, weight in enumerate(identity_draws(people, draws, seed)):
        total = None if truncated is None else truncated.impostors(weight)
        weight = np.append(weight, 1)  # weight of the code truncated.people: those who are not drawn
        genuine = np.append(0, weight[left_codes[hits]].cumsum())
        impostors = np.append(0, (weight[left_codes[false]] * weight[right_codes[false]]).cumsum())
        total = int(impostors[-1]) if total is None else total
        if genuine[-1] and total:
            accepted = impostors[false_at]
            allowed = np.array([allowed_accepts(far, total) for far in rates])
            last = np.searchsorted(accepted, allowed, side="right") - 1
            tar = genuine[hits_at] / genuine[-1]
            result.tar[row] = np.where((allowed < impostors[-1]) | (total == impostors[-1]), tar[last], np.nan)
            frr, far = 1 - tar, accepted / total
            nearest = np.abs(far - frr).argmin()
            if far[-1] >= frr[-1]:  # the two rates cross within the listed pairs
                result.eer[row] = (far[nearest] + frr[nearest]) / 2
    return result


def pairs_between(faces: NDArray[np.int64]) -> int:
    """The number of pairs of faces of different people; faces (K,): the number of faces of each person."""
    return (int(faces.sum()) ** 2 - int((faces**2).sum())) // 2


def share_draws(hits: ArrayLike, trials: ArrayLike, draws: int = DRAWS, seed: int = 0) -> Floats:
    """A rate in each draw (draws,) from the hits and trials (K,) of each identity; NaN for a draw without trials."""
    hit_counts, trial_counts = np.asarray(hits, np.int64), np.asarray(trials, np.int64)
    sums = [(weight @ hit_counts, weight @ trial_counts) for weight in identity_draws(hit_counts.size, draws, seed)]
    return np.array([a / b if b else np.nan for a, b in sums], np.float64)


def percentile_interval(values: Floats, confidence: float = 0.95) -> tuple[float, float] | None:
    """The central interval of the values (draws,); None if more than a tenth of them are NaN."""
    finite = values[np.isfinite(values)]
    if finite.size < 0.9 * values.size or not finite.size:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, (tail, 1 - tail))
    return float(low), float(high)
