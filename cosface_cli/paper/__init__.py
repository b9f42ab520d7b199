"""paper: the figures and tables of Wang 2018 (arXiv 1801.09414), made from your own crops by the stages.

from cosface_cli.paper.figures.table2 import table2
report = table2(TableConfig(aligned=Path("aligned"), pairs=Path("pairs.txt"), root=Path("lfw")))

Each figure or table writes NAME.json, NAME.png and NAME.svg to the folder `out`. Every training has a run folder in
out/runs, named after what was trained. Figures share run folders, and a repeated call does only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosface_cli.engines.photos.photo_options import FlipOption, TemplateName, WorkersOption
from cosface_cli.options import Checked, Option, argument, option, parameter
from cosface_cli.train import DATA, LOSS, OUTPUT, SCHEDULE, Device, TrainConfig

Out = Annotated[Path, option("Folder for the figure and, in runs/, the trainings.", group=OUTPUT)]
Margin = Annotated[float, option("Margin of LMCL, in cosine.", at_least=0, group=LOSS)]
Seeds = Annotated[
    tuple[int, ...],
    option("Each training runs once with each of these seeds, such as 0,1,2.", at_least=0, separator=",",
           group=SCHEDULE),
]  # fmt: skip
OUT = Path("paper")


def train_option(name: str) -> Option:
    """The option of train for the same field."""
    return parameter(TrainConfig, name).option


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig(Checked):
    """How every network of a figure is trained, and on which crops. Each figure chooses the losses."""

    aligned: Annotated[Path, argument("ALIGNED", "Crop folder with one sub-folder for each person.")] = Path("aligned")
    template: Annotated[TemplateName | None, train_option("template")] = None
    recipe: Annotated[str | None, train_option("recipe")] = None
    backbone: Annotated[str | None, train_option("backbone")] = None
    s: Annotated[float | None, train_option("s")] = None
    epochs: Annotated[int | None, train_option("epochs")] = None
    steps: Annotated[int | None, train_option("steps")] = None
    batch: Annotated[int | None, train_option("batch")] = None
    lr: Annotated[float | None, train_option("lr")] = None
    device: Annotated[Device, train_option("device")] = "auto"
    threads: Annotated[int | None, train_option("threads")] = None
    loaders: Annotated[int | None, train_option("loaders")] = None
    out: Out = OUT
    dry_run: Annotated[bool, option("Print how long each training takes, and stop.", group=OUTPUT)] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig(TrainingConfig):
    """How every network of a figure is trained, and how it is then verified on pairs of photos."""

    pairs: Annotated[Path, option("List of pairs in the format of LFW's pairs.txt.", group="Verification")]
    root: Annotated[Path, option("Folder of the crops or photos that the pairs name.", group="Verification")]
    crops_template: Annotated[
        TemplateName | None,
        option(
            "Template of the crops in --root, if they have no manifest: {choices}.",
            "--root-template",
            unset="from the manifest",
            group="Verification",
        ),
    ] = None
    flip: FlipOption = "concat"
    workers: WorkersOption = 0
    seeds: Seeds = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fig4Config(TrainingConfig):
    """Figure 4. The margins must not exceed the bound of Eq. 7."""

    people: Annotated[
        int, option("Number of people: those with the most crops.", at_least=2, at_most=10, group=DATA)
    ] = 8
    margins: Annotated[
        tuple[float, ...],
        option("Margins of LMCL; 0 is NSL. Such as 0,0.1,0.2.", separator=",", at_least=0, group=LOSS),
    ] = (0.0, 0.1, 0.2)
    seed: Annotated[
        int, option("Seed of the first weights, the order and the augmentation.", at_least=0, group=SCHEDULE)
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fig5Config(ComparisonConfig):
    """Figure 5."""

    margins: Annotated[
        tuple[float, ...],
        option("Margins of LMCL; 0 is NSL. Such as 0,0.15,0.35.", separator=",", at_least=0, below=1, group=LOSS),
    ] = (0.0, 0.15, 0.25, 0.35, 0.45)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig(ComparisonConfig):
    """Table 1 or Table 2."""

    m: Margin = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryConfig(Checked):
    """Figure 2: two classes."""

    m: Annotated[float, option("Margin of LMCL, in cosine.", at_least=0, below=1)] = 0.35
    factor: Annotated[int, option("Integer margin m of A-Softmax.", at_least=1)] = 4
    ratio: Annotated[
        float,
        option("Ratio of the lengths of softmax's two weights; it is drawn as |W_1| / |W_2| and inverted.", at_least=1),
    ] = 2.0
    out: Out = OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsConfig(Checked):
    """The bounds of Eq. 6 and Eq. 7."""

    identities: Annotated[
        tuple[int, ...],
        option("Numbers of identities C, such as 8,10575.", separator=",", at_least=2),
    ] = (2, 8, 100, 1_000, 10_575, 90_000, 1_000_000)
    embedding_size: Annotated[int, option("Dimensions K of Eq. 7.", at_least=2)] = 512
    out: Out = OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperReport:
    """A finished figure or table."""

    name: str
    """Name of the figure or table, such as "table2"."""
    rows: tuple[Mapping[str, object], ...]
    """As printed; accuracies and rates in 0..1."""
    differs: tuple[str, ...] = ()
    """The differences from the paper's experiment, one sentence each."""
    files: tuple[Path, ...] = ()
    """The written files."""
