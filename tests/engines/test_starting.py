"""What a training begins with: weights, licence and lineage of the default and of a run; refusals in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.run.weights import Weights, read_header, save_weights, tensors_id
from cosface_cli.backbones.build_backbone import build, tensors_of
from cosface_cli.engines.embedders.dlib_embedder import MODEL_ID
from cosface_cli.engines.models.starting_weights import starting_weights
from cosface_cli.errors import CosfaceError, DamagedError


@pytest.fixture
def header() -> Weights:
    tensors = tensors_of(build("mobilefacenet", 32, 0))
    return Weights(
        backbone="mobilefacenet",
        embedding_size=32,
        template="arcface",
        model_id=tensors_id(tensors),
        licence="CC0-1.0",
        lineage=("first", "second"),
    )


def save(folder: Path, header: Weights, size: int = 32) -> Path:
    tensors = tensors_of(build("mobilefacenet", size, 0))
    save_weights(folder / "weights.safetensors", tensors, replace(header, model_id=tensors_id(tensors)))
    return folder


@pytest.mark.parametrize("spec", ("default", "dlib"))
def test_the_built_in_default(spec: str):
    start = starting_weights(spec)
    assert (start.backbone, start.embedding_size, start.licence) == ("dlib29", 128, "CC0-1.0")
    assert start.lineage == (MODEL_ID,)
    assert sum(tensor.size for tensor in start.tensors.values()) == 5_607_488


@pytest.mark.slow
def test_a_run_before_and_its_line(tmp_path: Path, header: Weights):
    save(tmp_path, header)
    for spec in (tmp_path, tmp_path / "weights.safetensors"):
        start = starting_weights(str(spec))
        assert (start.backbone, start.embedding_size, start.licence) == ("mobilefacenet", 32, "CC0-1.0")
        assert start.lineage == ("first", "second", header.model_id)
        assert tensors_id(start.tensors) == header.model_id


def test_licence_and_lineage_go_on(tmp_path: Path, header: Weights):
    """Default, then a run, then a run from that: each header says all that came before."""
    start = starting_weights("default")
    save(tmp_path, replace(header, licence=start.licence, lineage=start.lineage))
    after = starting_weights(str(tmp_path))
    assert after.licence == "CC0-1.0"
    assert after.lineage == (MODEL_ID, read_header(tmp_path / "weights.safetensors").model_id)


def test_missing_or_foreign_weights_are_refused(tmp_path: Path):
    with pytest.raises(CosfaceError, match="no weights to begin with are called 'defualt'; give default"):
        starting_weights("defualt")
    with pytest.raises(CosfaceError, match="no weights here"):
        starting_weights(str(tmp_path))
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(CosfaceError, match=r"not a \.safetensors file"):
        starting_weights(str(tmp_path))


@pytest.mark.parametrize(
    "fed", ({"template": "sphereface"}, {"color_order": "BGR"}, {"mean": (0.0,) * 3}, {"std": (127.5,) * 3})
)
def test_weights_with_another_input_are_refused(tmp_path: Path, header: Weights, fed: dict[str, object]):
    save(tmp_path, replace(header, **fed))  # type: ignore[arg-type]
    with pytest.raises(CosfaceError, match="fed otherwise than mobilefacenet"):
        starting_weights(str(tmp_path))


@pytest.mark.parametrize(
    "claimed", ({"embedding_size": 64}, {"embedding_size": 1 << 40}, {"backbone": "sphere20", "template": "sphereface"})
)
def test_tensors_of_another_network(tmp_path: Path, header: Weights, claimed: dict[str, object]):
    save(tmp_path, replace(header, **claimed))  # type: ignore[arg-type]
    with pytest.raises(DamagedError, match="the tensors are not those of"):
        starting_weights(str(tmp_path))


def test_tensors_are_counted(tmp_path: Path, header: Weights):
    tensors = {name: np.array(tensor) for name, tensor in tensors_of(build("mobilefacenet", 32, 1)).items()}
    save_weights(tmp_path / "weights.safetensors", tensors, header)
    with pytest.raises(DamagedError, match="do not match the model id"):
        starting_weights(str(tmp_path))
