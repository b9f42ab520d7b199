"""Figure 2: decision boundaries of softmax, NSL, A-Softmax and LMCL between two classes, in the plane of the cosines.

Each stands in closed form and is looked for in the logits of the loss's own file as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.loading import build
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.paper import BoundaryConfig, PaperReport
from cosface_cli.paper.plots import square
from cosface_cli.paper.results import write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_HALVINGS = 60  # of an interval of pi: to the last bit
_POINTS = 201
_WIDTHS_AT = (0.5, 0.8)  # cosines at which the margin's width is told


@dataclass(frozen=True, slots=True)
class Rule:
    """A loss's decision for class 1, where its own logit is as large as the other's.

    loss, settings: of the losses' table; closed: cos theta_1 on the boundary by cos theta_2 (N,), not a number where
    none is large enough; ratio: |W_1| / |W_2|, for the loss that does not normalise them.
    """

    name: str
    words: str
    loss: str
    settings: Mapping[str, float]
    closed: Callable[[Array], Array]
    ratio: float = 1.0


def rules(m: float, factor: int, ratio: float) -> tuple[Rule, ...]:
    """The four of Figure 2 (section 3.2). Raises CosfaceError for what is no margin, factor or ratio."""
    if not 0 <= m < 1 or factor < 1 or not (math.isfinite(ratio) and ratio >= 1):
        raise CosfaceError("--m must be from 0 to below 1, --factor and --ratio 1 or more")

    def additive(cos: Array) -> Array:
        return np.where(cos + m <= 1, cos + m, np.nan)

    unannealed = {"m": factor, "lambda_min": 0.0, "lambda_max": 0.0}
    return (
        Rule("Softmax", "|W_1| cos_1 = |W_2| cos_2", "softmax", {}, lambda cos: cos / ratio, ratio),
        Rule("NSL", "cos_1 = cos_2", "nsl", {}, lambda cos: cos),
        Rule(
            "A-Softmax",
            f"theta_1 = theta_2 / {factor}",
            "sphereface",
            unannealed,
            lambda cos: np.cos(np.arccos(cos) / factor),
        ),
        Rule("LMCL", f"cos_1 = cos_2 + {m:g}", "cosface", {"m": m}, additive),
    )


def fig_boundary(config: BoundaryConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss: margin_at_C, the distance of the two classes' boundaries where their cosines are C on
    average, negative where they overlap; largest_difference of closed form and logits over all cosines of class 2."""
    four = rules(config.m, config.factor, config.ratio)
    cos = np.cos(np.linspace(0, math.pi, _POINTS))  # of theta_2
    rows, points = [], {}
    for rule in four:
        closed, found = rule.closed(cos), boundary(rule, cos)
        both = np.isfinite(closed) & np.isfinite(found)
        widths = {f"margin_at_{c:g}": _number(width(rule, c)) for c in _WIDTHS_AT}
        difference = float(np.abs(closed[both] - found[both]).max())
        rows.append({"loss": rule.name, "boundary": rule.words, **widths, "largest_difference": difference})
        points[rule.name] = [[float(two), float(one)] for two, one in zip(cos[both], found[both], strict=True)]
        emit(Done(rule.name))
    more = {"m": config.m, "factor": config.factor, "ratio": config.ratio, "boundaries_cos2_cos1": points}

    def draw(figure: Figure) -> None:
        for axes, rule in zip(figure.subplots(1, 4), four, strict=True):
            _draw(axes, rule)

    return write(config.out / "fig-boundary", "Figure 2", rows, (), more, (11.0, 3.2), draw, emit)


def boundary(rule: Rule, cos: Array) -> Array:
    """cos theta_1 (N,) at which the loss's own logit for class 1 is that of class 2, by cos theta_2 (N,); not a number
    where it is smaller whatever theta_1."""
    low, high = np.zeros_like(cos), np.full_like(cos, math.pi)  # theta_1: the logit falls with it
    reached = logit_difference(rule, np.cos(low), cos) >= 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = logit_difference(rule, np.cos(middle), cos) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(reached, np.cos((low + high) / 2), np.nan)


def width(rule: Rule, cos: float) -> float:
    """The distance, in the plane of the cosines, of the two classes' boundaries across cos_1 = cos_2 = cos, found in
    the loss's own logits; negative where they overlap, not a number where no feature reaches them."""
    low, high = -2 * (1 - abs(cos)), 2 * (1 - abs(cos))  # of cos_1 - cos_2
    if logit_difference(rule, np.array([cos + high / 2]), np.array([cos - high / 2]))[0] < 0:
        return math.nan
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = logit_difference(rule, np.array([cos + middle / 2]), np.array([cos - middle / 2]))[0] > 0
        low, high = (low, middle) if above else (middle, high)
    return math.sqrt(2) * (low + high) / 2


def logit_difference(rule: Rule, cos_1: Array, cos_2: Array) -> Array:
    """The logit of class 1 less that of class 2 (N,) for a unit feature of class 1 with these cosines (N,) to the class
    weights, from the loss's own file: N pairs of weights about one feature."""
    count = len(cos_1)
    head: Any = build(rule.loss, 3, 2 * count, rule.settings, seed=0).double().eval()
    assert isinstance(head, ClassifierHead)
    zero = np.zeros(count)
    one = rule.ratio * np.stack([cos_1, np.sqrt(np.clip(1 - cos_1**2, 0, None)), zero], axis=1)  # (N, 3)
    two = np.stack([cos_2, zero, np.sqrt(np.clip(1 - cos_2**2, 0, None))], axis=1)  # (N, 3)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.stack([one, two], axis=1).reshape(2 * count, 3)))
        feature = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
        found = head.similarities(feature).view(count, 2)  # (N, 2)
        own, labels = found[:, 0], torch.zeros(count, dtype=torch.int64)
        logits = head.margined(found, own, labels, torch.ones(count, dtype=torch.float64))  # (N, 2)
    difference: Array = (logits[:, 0] - logits[:, 1]).numpy()
    return difference


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _draw(axes: Axes, rule: Rule) -> None:
    """Class 1 to the right, class 2 above, as its mirror image; between them grey, the margin, or hatched, where both
    may be decided for."""
    cos = np.linspace(0, 1, _POINTS)
    edge = rule.closed(cos)  # cos theta_1 on class 1's boundary, by cos theta_2
    there = np.isfinite(edge)
    cos, edge = cos[there], edge[there]
    axes.set_facecolor("0.85")
    axes.fill_betweenx(cos, edge, 1, color="#cfe0f1", lw=0)
    axes.fill_between(cos, edge, 1, color="#fbdfc6", lw=0)
    overlap: Any = {"where": edge < cos, "facecolor": "white", "edgecolor": "0.5", "hatch": "////", "lw": 0}
    axes.fill_betweenx(cos, edge, cos, **overlap)
    axes.fill_between(cos, edge, cos, **overlap)
    axes.plot(edge, cos, "--", color="tab:blue", lw=1.2)
    axes.plot(cos, edge, "--", color="tab:orange", lw=1.2)
    margin = width(rule, _WIDTHS_AT[0])
    axes.text(0.99, 0.01, "$C_1$", ha="right", va="bottom", color="tab:blue", fontsize=11)
    axes.text(0.02, 0.99, "$C_2$", ha="left", va="top", color="tab:orange", fontsize=11)
    axes.set_title(f"{rule.name}\nmargin at cosines of {_WIDTHS_AT[0]:g}: {margin:.3f}")
    axes.set_xlabel(r"$\cos\,\theta_1$")
    axes.set_ylabel(r"$\cos\,\theta_2$")
    square(axes, 0, 1)
