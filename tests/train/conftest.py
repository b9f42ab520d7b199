"""A toy crop folder: people that differ in colour and pattern, pictures of one that differ in noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.crops.manifest import CropRecord, line
from cosface_cli.artifacts.pictures import encode_png
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, Outcome
from cosface_cli.train.crops.dataset import LabelledCrops
from tests.train.tiny import added_backbones

MakeCrops = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_crops(
    root: Path, people: int = 4, images: int = 4, width: int = 112, height: int = 112, seed: int = 0, flat: bool = False
) -> Path:
    draw = np.random.default_rng(seed)
    for person in range(people):
        face = np.kron(draw.integers(0, 256, (7, 8, 3)), np.ones((height // 7, width // 8, 1)))
        for image in range(images):
            crop = np.clip(face + draw.normal(0, 20, face.shape), 0, 255).astype(np.uint8)
            path = root / f"p{person}_{image}.png" if flat else root / f"p{person}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(crop))
    return root


@pytest.fixture
def make_crops(tmp_path: Path) -> MakeCrops:
    def make(name: str = "aligned", **how: int | bool) -> Path:
        return write_crops(tmp_path / name, **how)  # type: ignore[arg-type]

    return make


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """A recipe that is silent but for what makes toys learn."""
    path = tmp_path / "plain.toml"
    path.write_text("clip = 5.0\n")
    return str(path)


@pytest.fixture
def tiny() -> Iterator[str]:
    """The name of a backbone that is in the table for the length of a test."""
    with added_backbones("tiny"):
        yield "tiny"


@dataclass
class Heard:
    """Collects what a stage tells."""

    outcomes: list[Outcome] = field(default_factory=list)

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def notes(self) -> str:
        return "\n".join(outcome.text for outcome in self.outcomes if isinstance(outcome, Note))

    @property
    def rows(self) -> list[dict[str, object]]:
        return [dict(row) for outcome in self.outcomes if isinstance(outcome, Done) for row in outcome.rows]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Interrupt the run before the step numbered steps, counted from 0."""
    read = LabelledCrops.batches
    done = 0

    def batches(self: LabelledCrops, epoch: int, begin: int = 0, **part: object):
        nonlocal done
        for batch in read(self, epoch, begin, **part):
            if done == steps + 1:  # one batch is read for the row of epoch 0
                raise KeyboardInterrupt
            done += 1
            yield batch

    monkeypatch.setattr(LabelledCrops, "batches", batches)


@dataclass(frozen=True)
class Pairs:
    """As the loader of pairs gives them."""

    crops: np.ndarray
    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray
    missing: tuple[str, ...] = ()


def crop_folder_with_pairs(folder: Path) -> tuple[Path, Path]:
    """Four people with four crops each, in a crop folder with its manifest, and 2 folds of 4 + 4 pairs."""
    root = write_crops(folder / "aligned")
    records = []
    for path in sorted(root.rglob("*.png")):
        name = f"{path.parent.name}/{path.parent.name}_{int(path.stem) + 1:04d}.png"
        path.rename(root / name)
        points = template("arcface").points
        record = CropRecord(
            crop=name,
            source=name,
            size=1,
            mtime_ns=1,
            hash="0" * 64,
            face=1,
            faces=1,
            found=1,
            box=(0.0, 0.0, 1.0, 1.0),
            landmarks=points,
            score=1.0,
            template="arcface",
            detector="none",
            settings="made for a test",
        )
        records.append(line(record))
    (root / "manifest.jsonl").write_text("".join(records))
    lines = ["2\t4"]
    for fold in range(2):
        lines += [f"p{p}\t{fold + 1}\t{fold + 3}" for p in range(4)]
        lines += [f"p{p}\t{fold + 1}\tp{(p + 1) % 4}\t{fold + 2}" for p in range(4)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root, folder / "pairs.txt"
