"""paper: the figures and tables of Wang 2018 (arXiv 1801.09414), run through the stages on one's own crops.

from cosface_cli.paper.table2 import table2
report = table2(TableConfig(Training(aligned=Path("aligned")), Measuring(pairs=Path("pairs.txt"), root=Path("lfw"))))

Each leaves NAME.json, NAME.png and NAME.svg in the folder `out`. Every training is a run folder in out/runs, named
after what was trained, so that figures share them and the same call again does only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUT = Path("paper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How every network of a comparison is trained, and on which crops: fields of TrainConfig, None as the recipe
    says; the loss and what belongs to it is each figure's own. s: for the losses that have one."""

    aligned: Path = Path("aligned")
    template: str | None = None
    recipe: str | None = None
    backbone: str | None = None
    epochs: int | None = None
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    s: float | None = None
    device: str = "auto"
    threads: int | None = None
    loaders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """What the networks are verified on: fields of ProtocolConfig. flip: "concat" is the paper's (section 4.1)."""

    pairs: Path
    root: Path
    crops_template: str | None = None
    flip: str = "concat"
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Fig4Config:
    """people: those with the most crops; margins: of LMCL, 0 is NSL, none above the bound of Eq. 7."""

    training: Training
    people: int = 8
    margins: tuple[float, ...] = (0.0, 0.1, 0.2)
    seed: int = 0
    out: Path = OUT


@dataclass(frozen=True, slots=True)
class Fig5Config:
    """margins: of LMCL, 0 is NSL; seeds: each training once with each of them."""

    training: Training
    measuring: Measuring
    margins: tuple[float, ...] = (0.0, 0.15, 0.25, 0.35, 0.45)
    seeds: tuple[int, ...] = (0,)
    out: Path = OUT


@dataclass(frozen=True, slots=True)
class TableConfig:
    """Of table1 and table2. m: margin of LMCL; seeds: each training once with each of them."""

    training: Training
    measuring: Measuring
    m: float = 0.35
    seeds: tuple[int, ...] = (0,)
    out: Path = OUT


@dataclass(frozen=True, slots=True)
class BoundaryConfig:
    """Two classes. m: margin of LMCL in cosine; factor: the whole m of A-Softmax; ratio: of the softmax weights'
    lengths, |W_1| / |W_2| in one case and its inverse in the other."""

    m: float = 0.35
    factor: int = 4
    ratio: float = 2.0
    out: Path = OUT


@dataclass(frozen=True, slots=True)
class BoundsConfig:
    """identities: C of Eq. 6 and 7; embedding_size: K of Eq. 7."""

    identities: tuple[int, ...] = (2, 8, 100, 1_000, 10_575, 90_000, 1_000_000)
    embedding_size: int = 512
    out: Path = OUT


@dataclass(frozen=True, slots=True)
class PaperReport:
    """rows: as printed, accuracies and rates in 0..1; differs: in which ways this is not the paper's experiment;
    files: written."""

    name: str
    rows: tuple[Mapping[str, Any], ...]
    differs: tuple[str, ...]
    files: tuple[Path, ...]
