"""How a model does by group and across groups, at thresholds that are one for all.

One threshold lets more impostors of one group pass than of another: that shows here, and not in a figure over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.curve import roc
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.verify.figures.pair_scores import PairScores

FARS = (1e-2, 1e-3, 1e-4)
Groups = tuple[NDArray[np.str_], NDArray[np.str_]]  # of the left and the right side of each pair, (P,)


def groups_of(rows: Sequence[PairRow], column: str, listed: Path) -> Groups:
    """The groups of the two sides: of the columns left_COLUMN and right_COLUMN (also COLUMN1 and COLUMN2), or of one
    column for both. Raises CosfaceError where a list has none of them, or a row no value."""
    have = {_plain(name): name for name in rows[0].extra}
    plain = _plain(column)
    for left, right in ((f"left {plain}", f"right {plain}"), (f"{plain}1", f"{plain}2"), (plain, plain)):
        if left in have and right in have:
            sides = have[left], have[right]
            break
    else:
        others = ", ".join(rows[0].extra) or "none"
        raise CosfaceError(f"no column {column}, left_{column} or {column}1; other columns: {others}", listed)
    found = tuple(np.array([row.extra.get(name, "").strip() for row in rows]) for name in sides)
    for side in found:
        if (side == "").any():
            number = int(np.flatnonzero(side == "")[0]) + 1
            raise CosfaceError(f"pair {number} has no {column}", listed, "fill it in, or take the pair out")
    return found[0], found[1]


def by_group(pairs: PairScores, groups: Groups, missing: str) -> tuple[Mapping[str, Any], ...]:
    """For each FAR that all pairs resolve, and each two groups: TAR and FAR of their pairs at the common threshold.

    A rate has an exact 95 % interval and is None without pairs; a pair without a score is as in the figures over all.
    """
    counts = pairs.counted(missing)
    scores, same = pairs.ranked[counts], pairs.same[counts]
    if same.all() or not same.any():
        return ()
    sides = np.sort(np.stack([side[counts] for side in groups]), axis=0)  # in either order
    kinds, of = np.unique(sides, axis=1, return_inverse=True)
    curve = roc(scores, same)
    rows = []
    for rate in (tar_at_far(curve, far) for far in FARS):
        if rate.threshold is None:
            continue
        passed = scores >= rate.threshold
        for number, (one, other) in enumerate(kinds.T):
            here = of.ravel() == number
            true = _rate("tar", passed[here & same])
            false = _rate("far", passed[here & ~same])
            row = {"left_group": str(one), "right_group": str(other), "at_far": rate.far, "threshold": rate.threshold}
            rows.append({**row, **true, **false})
    return tuple(rows)


def _rate(name: str, passed: NDArray[np.bool_]) -> dict[str, Any]:
    count = {"tar": "genuine", "far": "impostors"}[name]
    if not passed.size:
        return {name: None, f"{name}_low": None, f"{name}_high": None, count: 0}
    low, high = clopper_pearson(int(passed.sum()), passed.size)
    return {name: float(passed.mean()), f"{name}_low": low, f"{name}_high": high, count: int(passed.size)}


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
