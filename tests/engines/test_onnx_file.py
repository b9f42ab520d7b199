"""Networks in an ONNX file given by path: fed as the file's own notes say, where it has some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.run.weights import read_trained
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.loading import load
from cosface_cli.engines.embedders.onnx_file import notes_of
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.errors import DamagedError
from tests.runs import a_run


def exported(path: Path, notes: dict[str, str] | None) -> Path:
    """The network of a made run for 96 x 112 pixels, which two templates have, as a file with notes."""
    _, header, tensors = read_trained(a_run(path.parent / "run", "sphere4"))
    path.write_bytes(to_onnx(load(header.backbone, header.embedding_size, tensors), 112, 96, notes))
    return path


def test_its_own_notes_say_how_to_feed_it(tmp_path: Path, model_cache: Path) -> None:
    path = exported(tmp_path / "noted.onnx", notes_of("sphereface", (100.0, 110.0, 120.0), (64.0, 128.0, 32.0)))
    noted = open_embedder(str(path))
    assert noted.template == "sphereface"
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 96, 3)).astype(np.uint8)
    # the same pixels after (x - mean) / std, from a file that says nothing: what goes in decides
    path = exported(tmp_path / "bare.onnx", None)
    bare = open_embedder(str(path))
    planes = (crops.astype(np.float64) - (100, 110, 120)) / (64, 128, 32)
    want = bare._session.run(None, {"crops": planes.transpose(0, 3, 1, 2).astype(np.float32)})[0]  # type: ignore[attr-defined]
    assert np.abs(want).max() > 0.01 and np.abs(bare.embed(crops) - want).max() > 1e-3
    assert np.abs(noted.embed(crops) - want).max() < 1e-5


@pytest.mark.parametrize("wrong", ("no json", "[1, 2]", "[0, 1, 1]", "[-1, 1, 1]", "[1, NaN, 1]", "7", '["a", 1, 1]'))
def test_damaged_notes_are_refused(wrong: str, tmp_path: Path, model_cache: Path) -> None:
    notes = notes_of("sphereface", (127.5,) * 3, (128.0,) * 3) | {"cosface.std": wrong}
    with pytest.raises(DamagedError, match="its notes are damaged"):
        open_embedder(str(exported(tmp_path / "m.onnx", notes)))
