"""Figure 4: two-dimensional features of a few people under softmax, NSL and LMCL, in the plane and on the circle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.artifacts.run.run_record import RunFolder
from cosface_cli.artifacts.run.weights import read_tensors
from cosface_cli.engines.embedders.trained import open_trained
from cosface_cli.engines.photos.face_cutting import crop_of
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bounds import margin_upper_bound
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import Fig4Config, PaperReport
from cosface_cli.paper.figures.class_arrangement import Arrangement, arrangement_of, nearest_in_angle
from cosface_cli.paper.figures.drawing import square
from cosface_cli.paper.figures.figure_files import write_figure
from cosface_cli.paper.trainings.identity_subset import copy_crops, crops_of_largest_identities
from cosface_cli.paper.trainings.paper_differences import scale_differences
from cosface_cli.paper.trainings.planned_training import PlannedTraining
from cosface_cli.paper.trainings.training_costs import cost_report
from cosface_cli.paper.trainings.training_runs import TrainedNetwork, train_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

STEPS, BATCH = 900, 16  # the defaults of this figure: the epochs of a recipe are for thousands of crops
CLASS_WEIGHTS_RATE = 0.1  # learning rate of the class weights, relative to the network's


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Panel:
    """The column of one loss."""

    name: str
    network: TrainedNetwork
    features: Array
    """(N, 2) of the training crops."""
    labels: NDArray[np.int64]
    """(N,) 0..C-1."""
    weights: Array
    """(C, 2) class weights."""
    arrangement: Arrangement

    @property
    def row(self) -> dict[str, object]:
        """The row of the loss. accuracy: by the loss's logits, over the last epoch; accuracy_by_angle: share of the
        crops that are nearest in angle to the weight of their class; angles and gaps in degrees."""
        by_angle = nearest_in_angle(self.features, self.weights) == self.labels
        return {
            "loss": self.name,
            "accuracy": self.network.accuracy,
            "accuracy_by_angle": float(by_angle.mean()),
            "angle_to_centre": self.arrangement.mean_angle,
            "max_cosine_of_centres": self.arrangement.max_cosine,
            "least_gap": float(self.arrangement.gaps.min()),
            "mean_gap": float(self.arrangement.gaps.mean()),
        }


def trainings(config: Fig4Config) -> dict[str, PlannedTraining]:
    """The trainings by the loss's name in the figure. Raises CosfaceError for a margin above the bound of Eq. 7."""
    bound = margin_upper_bound(config.people, 2)
    for m in config.margins:
        if m > bound:
            raise CosfaceError(
                f"--margins must be at least 0 and at most {bound:.3f} = 1 - cos(2 pi / {config.people}), the bound "
                f"for {config.people} identities on a circle (Wang 2018 Eq. 7); got {m:g}",
                hint="lower --margins; the paper's are 0,0.1,0.2",
            )
    rate = {"head_lr": CLASS_WEIGHTS_RATE}
    softmax = PlannedTraining("fig4-softmax", "softmax", {**rate, "embedding_size": 2})
    plans = {"Softmax": softmax}
    # A new network maps all faces to one direction. In two dimensions the class weights collapse to that direction
    # before the network separates anyone, and then the cosines have no gradient that would separate them. So the
    # margin losses start from softmax.
    for m in sorted(set(config.margins)):
        if m:
            name, loss, overrides = f"LMCL, m = {m:g}", "cosface", {**rate, "m": m}
            plans[name] = PlannedTraining(f"fig4-cosface-m{m:g}", loss, overrides, after=softmax)
        else:
            plans["NSL (LMCL, m = 0)"] = PlannedTraining("fig4-nsl", "nsl", rate, after=softmax)
    return plans


def prepare(config: Fig4Config, folder: Path) -> tuple[Fig4Config, list[Crop]]:
    """Copy the crops of the people with the most crops to a folder; returns the config for them, and those crops."""
    crops = crops_of_largest_identities(config.aligned, config.template, config.people)
    steps = STEPS if config.epochs is None and config.steps is None else config.steps
    return replace(config, aligned=copy_crops(crops, folder), batch=config.batch or BATCH, steps=steps), crops


def fig4(config: Fig4Config, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss, see Panel. Raises CosfaceError for a margin above the bound, and as train does."""
    plans = trainings(config)
    if config.dry_run:
        with TemporaryDirectory(prefix="cosface-") as folder:
            prepared, _ = prepare(config, Path(folder) / "fig4-crops")
            return cost_report("fig4", list(plans.values()), prepared, [config.seed], emit)
    prepared, crops = prepare(config, config.out / "fig4-crops")
    names = {plan.name: name for name, plan in plans.items()}
    panels = [
        _panel(names[network.plan.name], network, crops)
        for network in train_all(list(plans.values()), prepared, [config.seed], emit)
        if network.stopped is None
    ]
    if not panels:
        raise CosfaceError("every training was stopped", config.out, "a lower --lr may help; choose another --out")

    def draw(figure: Figure) -> None:
        plane, circle = figure.subplots(2, len(panels), squeeze=False)
        for upper, lower, panel in zip(plane, circle, panels, strict=True):
            _draw_plane(upper, panel)
            _draw_circle(lower, panel)

    return write_figure(
        config.out / "fig4",
        source="Figure 4",
        rows=[panel.row for panel in panels],
        differs=list(dict.fromkeys(sentence for panel in panels for sentence in _differences(panel.network))),
        details=_details(panels, crops),
        size=(2.6 * len(panels), 5.4),
        draw=draw,
        emit=emit,
    )


def _panel(name: str, network: TrainedNetwork, crops: list[Crop]) -> Panel:
    embedder = open_trained(network.folder)
    need = template(embedder.template)
    batches = []
    for begin in range(0, len(crops), BATCH):
        images = [crop_of(crop.read(), crop, need) for crop in crops[begin : begin + BATCH]]
        batches.append(embedder.embed(np.stack(images)))
    features = np.concatenate(batches).astype(np.float64)
    identities = _identities(crops)
    labels = np.array([identities.index(str(crop.identity)) for crop in crops], np.int64)
    return Panel(
        name=name,
        network=network,
        features=features,
        labels=labels,
        weights=read_tensors(RunFolder(network.folder).head)["weight"].astype(np.float64),  # (C, 2), as identities
        arrangement=arrangement_of(features, labels),
    )


def _identities(crops: list[Crop]) -> list[str]:
    return sorted({str(crop.identity) for crop in crops})


def _details(panels: list[Panel], crops: list[Crop]) -> dict[str, object]:
    return {
        "identities": _identities(crops),
        "points": {
            panel.name: {"features": panel.features.tolist(), "labels": panel.labels.tolist()} for panel in panels
        },
        "weights": {panel.name: panel.weights.tolist() for panel in panels},
        "runs": [panel.network.record for panel in panels],
    }


def _differences(network: TrainedNetwork) -> list[str]:
    """Differences from the paper, which does not name the people, the length and the network of this experiment."""
    data = f"data: {network.identities} people, {network.images} crops; the paper does not name its 8 people"
    length = f"network and length: {network.settings['backbone']}, {network.steps} steps; the paper names neither"
    start = "start: NSL and LMCL start from softmax's network and the mean of each person; the paper names no start"
    return [data, length, *scale_differences(network), *([start] if network.plan.after else [])]


def _draw_plane(axes: Axes, panel: Panel) -> None:
    reach = 1.08 * float(np.abs(panel.features).max())
    x, y = panel.features.T
    axes.scatter(x, y, s=5, c=panel.labels % 10, cmap="tab10", vmin=0, vmax=9, lw=0)
    axes.set_title(panel.name)
    square(axes, -reach, reach)
    axes.tick_params(labelsize=7)


def _draw_circle(axes: Axes, panel: Panel) -> None:
    for label, weight in enumerate(panel.weights):
        right, up = weight / np.linalg.norm(weight)
        axes.plot([0, right], [0, up], "-", color=_colour(label), lw=1, alpha=0.7)
    x, y = panel.arrangement.circle.T
    axes.scatter(x, y, s=8, c=panel.labels % 10, cmap="tab10", vmin=0, vmax=9, lw=0, zorder=3)
    axes.set_title(f"gap between classes: mean {panel.arrangement.gaps.mean():.1f}°", fontsize=8)
    square(axes, -1.12, 1.12)
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.tick_params(labelsize=7)


def _colour(label: int) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    return colormaps["tab10"](label % 10)
