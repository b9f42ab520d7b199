"""Figure 4: two-dimensional features of a few people under softmax, NSL and LMCL, in the plane and on the circle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.artifacts.run.run_record import RunFolder
from cosface_cli.artifacts.run.weights import read_tensors
from cosface_cli.engines.embedders.trained import open_trained
from cosface_cli.engines.photos.face_vectors import crop_of
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bounds import margin_upper_bound
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import Fig4Config, PaperReport, Training
from cosface_cli.paper.arrangement import Arrangement, arranged, nearest_in_angle
from cosface_cli.paper.people import most_pictured, take_out
from cosface_cli.paper.plots import square
from cosface_cli.paper.results import write
from cosface_cli.paper.runs import Run, Trained, differences, train_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

STEPS, BATCH = 900, 16  # where nothing else is asked for: a recipe's passes are over thousands of crops
HEAD_RATE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One loss. features: (N, 2) of the crops that it was trained on; labels: (N,); weights: (C, 2) of the classes."""

    name: str
    trained: Trained
    features: Array
    labels: NDArray[np.int64]
    weights: Array
    arrangement: Arrangement

    @property
    def row(self) -> dict[str, Any]:
        """accuracy: by the loss's own logits, over the last epoch; accuracy_by_angle: share of crops in whose direction
        no other class's weight lies nearer; angles in degrees."""
        by_angle = nearest_in_angle(self.features, self.weights) == self.labels
        return {
            "loss": self.name,
            "accuracy": self.trained.accuracy,
            "accuracy_by_angle": float(by_angle.mean()),
            "angle_to_centre": self.arrangement.spread,
            "max_cosine_of_centres": self.arrangement.max_cosine,
            "least_gap": float(self.arrangement.gaps.min()),
            "mean_gap": float(self.arrangement.gaps.mean()),
        }


def trainings(config: Fig4Config) -> dict[str, Run]:
    """The runs by the loss's name in the figure. Raises CosfaceError for a margin that the circle has no room for."""
    bound = margin_upper_bound(config.people, 2) if config.people >= 2 else 0.0
    for m in config.margins:
        if not 0 <= m <= bound:
            raise CosfaceError(
                f"the margin {m:g} is not within 0 and {bound:.3f} = 1 - cos(2 pi / {config.people}), the most that "
                f"{config.people} identities on a circle leave room for (Wang 2018 Eq. 7)",
                hint="lower --margins; the paper's are 0,0.1,0.2",
            )
    rate = {"head_lr": HEAD_RATE}
    softmax = Run("fig4-softmax", "softmax", {**rate, "embedding_size": 2})
    runs = {"Softmax": softmax}
    # a new network sees all faces in one direction; in a plane, class weights fall in there before it tells anybody
    # apart, and then the cosines have no slope that would part them
    for m in sorted(set(config.margins)):
        if m:
            runs[f"LMCL, m = {m:g}"] = Run(f"fig4-cosface-m{m:g}", "cosface", {**rate, "m": m}, after=softmax)
        else:
            runs["NSL (LMCL, m = 0)"] = Run("fig4-nsl", "nsl", rate, after=softmax)
    return runs


def prepared(config: Fig4Config, folder: Path) -> tuple[Training, list[Crop]]:
    """The training on a folder of the people with the most crops, which is made, and those crops."""
    crops = most_pictured(config.training.aligned, config.training.template, config.people)
    training = replace(config.training, aligned=take_out(crops, folder), batch=config.training.batch or BATCH)
    if training.epochs is None and training.steps is None:
        training = replace(training, steps=STEPS)
    return training, crops


def fig4(config: Fig4Config, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss, see Panel. Raises CosfaceError for a margin beyond the bound, and as train does."""
    runs = trainings(config)
    training, crops = prepared(config, config.out / "fig4-crops")
    names = {run.name: name for name, run in runs.items()}
    panels = [
        _panel(names[trained.run.name], trained, crops)
        for trained in train_all(list(runs.values()), training, [config.seed], config.out, emit)
        if trained.stopped is None
    ]
    if not panels:
        raise CosfaceError("every training was stopped", config.out, "a lower --lr may help; choose another --out")
    identities = sorted({str(crop.identity) for crop in crops})
    more = {
        "identities": identities,
        "points": {
            panel.name: {"features": panel.features.tolist(), "labels": panel.labels.tolist()} for panel in panels
        },
        "weights": {panel.name: panel.weights.tolist() for panel in panels},
        "runs": [panel.trained.record for panel in panels],
    }

    def draw(figure: Figure) -> None:
        plane, circle = figure.subplots(2, len(panels), squeeze=False)
        for upper, lower, panel in zip(plane, circle, panels, strict=True):
            _draw_plane(upper, panel)
            _draw_circle(lower, panel)

    differs = list(dict.fromkeys(words for panel in panels for words in _differences(panel.trained)))
    size = (2.6 * len(panels), 5.4)
    return write(config.out / "fig4", "Figure 4", [panel.row for panel in panels], differs, more, size, draw, emit)


def _panel(name: str, trained: Trained, crops: list[Crop]) -> Panel:
    embedder = open_trained(trained.folder)
    need = template(embedder.template)
    parts = []
    for begin in range(0, len(crops), BATCH):
        some = [crop_of(crop.read(), crop, need) for crop in crops[begin : begin + BATCH]]
        parts.append(embedder.embed(np.stack(some)))
    features = np.concatenate(parts).astype(np.float64)
    identities = sorted({str(crop.identity) for crop in crops})
    labels = np.array([identities.index(str(crop.identity)) for crop in crops], np.int64)
    weights = read_tensors(RunFolder(trained.folder).head)["weight"].astype(np.float64)  # (C, 2), as identities
    return Panel(name, trained, features, labels, weights, arranged(features, labels))


def _differences(trained: Trained) -> list[str]:
    """Of the toy experiment the paper tells neither the people nor the length nor the network."""
    of_scale = [words for words in differences(trained) if words.startswith("scale")]
    data = f"data: {trained.identities} people, {trained.images} crops; the paper's 8 people are not told"
    length = f"network and length: {trained.settings['backbone']}, {trained.steps} steps; the paper's are not told"
    begun = ["beginning: softmax's network and each person's mean, for the others; the paper's is not told"]
    return [data, length, *of_scale, *(begun if trained.run.after else [])]


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


def _colour(label: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab10"](label % 10)
