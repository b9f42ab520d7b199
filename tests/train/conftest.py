"""A toy crop folder: people that differ in colour and pattern, pictures of one that differ in noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.pictures import encode_png
from cosface_cli.backbones import BACKBONES
from cosface_cli.outcomes import Done, Note, Outcome
from cosface_cli.registry import Row

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
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backbone that is in the table for the length of a test."""
    monkeypatch.setitem(BACKBONES._rows, "tiny", Row("tiny", "tests.train.tiny:TINY", "for tests"))
    return "tiny"


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
