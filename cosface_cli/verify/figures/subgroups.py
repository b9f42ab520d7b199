"""Rates within groups and between them, at thresholds that are common to all pairs.

A common threshold can accept more impostors of one group than of another. Figures over all pairs do not show that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.curve import roc
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.verify.figures.protocol_scores import Groups, Missing, PairScores

FARS = (1e-2, 1e-3, 1e-4)


def groups_of(rows: Sequence[PairRow], column: str, listed: Path) -> Groups:
    """The groups of the two sides: of the columns left_COLUMN and right_COLUMN (also COLUMN1 and COLUMN2), or of one
    column for both. Raises CosfaceError if a list has none of these columns, or a row has no value."""
    names = {_plain(name): name for name in rows[0].extra}
    plain = _plain(column)
    for left, right in ((f"left {plain}", f"right {plain}"), (f"{plain}1", f"{plain}2"), (plain, plain)):
        if left in names and right in names:
            columns = names[left], names[right]
            break
    else:
        others = ", ".join(rows[0].extra) or "none"
        raise CosfaceError(f"no column {column}, left_{column} or {column}1; other columns: {others}", listed)
    left_groups, right_groups = (np.array([row.extra.get(name, "").strip() for row in rows]) for name in columns)
    for groups in (left_groups, right_groups):
        if (groups == "").any():
            number = int(np.flatnonzero(groups == "")[0]) + 1
            raise CosfaceError(f"pair {number} has no {column}", listed, "fill it in, or remove the pair")
    return left_groups, right_groups


def rates_by_group(pairs: PairScores, groups: Groups, missing: Missing) -> tuple[Mapping[str, object], ...]:
    """For each FAR that all pairs resolve, and each two groups: TAR and FAR of their pairs at the common threshold.

    A rate has an exact 95 % interval and is None without pairs. Pairs without a score count as in the other figures.
    """
    counted = pairs.counted(missing)
    scores, same = pairs.ranked[counted], pairs.same[counted]
    if same.all() or not same.any():
        return ()
    sides = np.sort(np.stack([side[counted] for side in groups]), axis=0)  # in either order
    kinds, kind_of_pair = np.unique(sides, axis=1, return_inverse=True)
    curve = roc(scores, same)
    rows = []
    for rate in (tar_at_far(curve, far) for far in FARS):
        if rate.threshold is None:
            continue
        passed = scores >= rate.threshold
        for number, (one, other) in enumerate(kinds.T):
            of_kind = kind_of_pair.ravel() == number
            true = _rate("tar", passed[of_kind & same])
            false = _rate("far", passed[of_kind & ~same])
            row = {"left_group": str(one), "right_group": str(other), "at_far": rate.far, "threshold": rate.threshold}
            rows.append({**row, **true, **false})
    return tuple(rows)


def _rate(name: str, passed: NDArray[np.bool_]) -> dict[str, object]:
    count = {"tar": "genuine", "far": "impostors"}[name]
    if not passed.size:
        return {name: None, f"{name}_low": None, f"{name}_high": None, count: 0}
    low, high = clopper_pearson(int(passed.sum()), passed.size)
    return {name: float(passed.mean()), f"{name}_low": low, f"{name}_high": high, count: int(passed.size)}


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
