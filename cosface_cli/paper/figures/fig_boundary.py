"""Figure 2: decision boundaries of softmax, NSL, A-Softmax and LMCL between two classes, in the plane of the cosines.

Each is computed in closed form, and also numerically from the logits of the loss that is used for training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.losses.build_loss import build
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.paper import BoundaryConfig, PaperReport
from cosface_cli.paper.figures.drawing import square
from cosface_cli.paper.figures.figure_files import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_HALVINGS = 60  # of an interval of pi: to the last bit
_POINTS = 201
_WIDTHS_AT = (0.5, 0.8)  # cosines at which the margin's width is reported


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """The decision of a loss between two classes. Its boundary is where the logits of both classes are equal."""

    name: str
    equation: str
    """Equation of the boundary, for the table."""
    loss: str
    """A name of LOSSES."""
    options: Mapping[str, float]
    """Options of that loss."""
    closed_form: Callable[[Array], Array]
    """cos theta_2 (N,) -> cos theta_1 (N,) on the boundary; NaN where no cosine is large enough."""
    ratio: float = 1.0
    """|W_1| / |W_2|, for the loss that does not normalise its weights."""


def rules(m: float, factor: int, ratio: float) -> tuple[DecisionRule, ...]:
    """The four losses of Figure 2 (section 3.2)."""

    def additive(cos: Array) -> Array:
        return np.where(cos + m <= 1, cos + m, np.nan)

    unannealed = {"m": factor, "lambda_min": 0.0, "lambda_max": 0.0}
    return (
        DecisionRule(
            name="Softmax",
            equation="|W_1| cos_1 = |W_2| cos_2",
            loss="softmax",
            options={},
            closed_form=lambda cos: cos / ratio,
            ratio=ratio,
        ),
        DecisionRule(name="NSL", equation="cos_1 = cos_2", loss="nsl", options={}, closed_form=lambda cos: cos),
        DecisionRule(
            name="A-Softmax",
            equation=f"theta_1 = theta_2 / {factor}",
            loss="sphereface",
            options=unannealed,
            closed_form=lambda cos: np.cos(np.arccos(cos) / factor),
        ),
        DecisionRule(
            name="LMCL",
            equation=f"cos_1 = cos_2 + {m:g}",
            loss="cosface",
            options={"m": m},
            closed_form=additive,
        ),
    )


def fig_boundary(config: BoundaryConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss. margin_at_C: distance between the boundaries of the two classes where their mean cosine is
    C, negative if they overlap. largest_difference: the largest difference between the boundaries in closed form and by
    logits, over all cosines of class 2."""
    four = rules(config.m, config.factor, config.ratio)
    cos = np.cos(np.linspace(0, math.pi, _POINTS))  # of theta_2
    rows, points = [], {}
    for rule in four:
        expected, measured = rule.closed_form(cos), boundary(rule, cos)
        both = np.isfinite(expected) & np.isfinite(measured)
        widths = {f"margin_at_{c:g}": _finite(width(rule, c)) for c in _WIDTHS_AT}
        difference = float(np.abs(expected[both] - measured[both]).max())
        rows.append({"loss": rule.name, "boundary": rule.equation, **widths, "largest_difference": difference})
        points[rule.name] = [[float(two), float(one)] for two, one in zip(cos[both], measured[both], strict=True)]
        emit(Done(rule.name))

    def draw(figure: Figure) -> None:
        for axes, rule in zip(figure.subplots(1, 4), four, strict=True):
            _draw(axes, rule)

    return write_figure(
        config.out / "fig-boundary",
        source="Figure 2",
        rows=rows,
        details={"m": config.m, "factor": config.factor, "ratio": config.ratio, "boundaries_cos2_cos1": points},
        size=(11.0, 3.2),
        draw=draw,
        emit=emit,
    )


def boundary(rule: DecisionRule, cos: Array) -> Array:
    """cos theta_1 (N,) at which the logits of both classes are equal, by cos theta_2 (N,).

    NaN where the logit of class 1 is smaller for every theta_1.
    """
    low, high = np.zeros_like(cos), np.full_like(cos, math.pi)  # of theta_1: the logit of class 1 decreases with it
    reached = logit_difference(rule, np.cos(low), cos) >= 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = logit_difference(rule, np.cos(middle), cos) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(reached, np.cos((low + high) / 2), np.nan)


def width(rule: DecisionRule, cos: float) -> float:
    """The distance in the plane of the cosines between the boundaries of the two classes, measured through
    cos_1 = cos_2 = cos, from the logits of the loss; negative if they overlap, NaN if no feature reaches them."""
    low, high = -2 * (1 - abs(cos)), 2 * (1 - abs(cos))  # of cos_1 - cos_2
    if logit_difference(rule, np.array([cos + high / 2]), np.array([cos - high / 2]))[0] < 0:
        return math.nan
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = logit_difference(rule, np.array([cos + middle / 2]), np.array([cos - middle / 2]))[0] > 0
        low, high = (low, middle) if above else (middle, high)
    return math.sqrt(2) * (low + high) / 2


def logit_difference(rule: DecisionRule, cos_1: Array, cos_2: Array) -> Array:
    """The logit of class 1 minus that of class 2 (N,), for a unit feature of class 1 with these cosines (N,) to the
    class weights, from the loss that is used for training, with N pairs of weights around one feature."""
    count = len(cos_1)
    head: Any = build(rule.loss, 3, 2 * count, rule.options, seed=0).double().eval()
    assert isinstance(head, ClassifierHead)
    zero = np.zeros(count)
    one = rule.ratio * np.stack([cos_1, np.sqrt(np.clip(1 - cos_1**2, 0, None)), zero], axis=1)  # (N, 3)
    two = np.stack([cos_2, zero, np.sqrt(np.clip(1 - cos_2**2, 0, None))], axis=1)  # (N, 3)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.stack([one, two], axis=1).reshape(2 * count, 3)))
        feature = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
        cosines = head.similarities(feature).view(count, 2)  # (N, 2)
        target_cosines, labels = cosines[:, 0], torch.zeros(count, dtype=torch.int64)
        logits = head.margined(cosines, target_cosines, labels, torch.ones(count, dtype=torch.float64))  # (N, 2)
    difference: Array = (logits[:, 0] - logits[:, 1]).numpy()
    return difference


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _draw(axes: Axes, rule: DecisionRule) -> None:
    """Draw class 1 on the right and class 2 at the top, as its mirror image. The margin between them is grey; where the
    classes overlap it is hatched."""
    cos = np.linspace(0, 1, _POINTS)
    edge = rule.closed_form(cos)  # cos theta_1 on class 1's boundary, by cos theta_2
    reached = np.isfinite(edge)
    cos, edge = cos[reached], edge[reached]
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
