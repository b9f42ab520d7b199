"""The 8-bit network against the float32 one, its integers against the bounds that they promise, its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders.dlib_embedder import open_dlib, packaged_network, serialised, to_onnx
from cosface_cli.engines.embedders.dlib_embedder_int8 import (
    FIRST,
    MODEL_ID,
    RANGES,
    Int8Graph,
    open_dlib_int8,
    steps,
)
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.engines.embedders.vectors import unit_embeddings
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.maths.geometry import template
from tests.conftest import Cosface


@pytest.fixture(scope="module")
def embedder(model_cache: Path) -> OnnxEmbedder:
    return open_dlib_int8()


@pytest.fixture(scope="module")
def graph(embedder: OnnxEmbedder, model_cache: Path) -> onnx.GraphProto:
    return onnx.load(model_cache / f"{MODEL_ID}.onnx").graph


@pytest.fixture(scope="module")
def crops(packaged_photos: Path) -> np.ndarray:
    reader = Reader(open_detector("mtcnn", 20.0), template("dlib"), "all")
    paths = [packaged_photos / name for name in ("t1.jpg", "Tom_Hanks_54745.png")]
    return np.stack([face.crop for path in paths for face in reader.read(path).faces])


def test_near_the_float32_network(embedder: OnnxEmbedder, crops: np.ndarray) -> None:
    """On faces that no range was measured on, and without their own mean, which all faces share."""
    assert len(crops) >= 7
    exact, rounded = (unit_embeddings(network, crops).astype(np.float64) for network in (open_dlib(), embedder))
    assert (exact * rounded).sum(axis=1).min() > 0.999
    away = exact - exact.mean(axis=0)
    error = np.linalg.norm(rounded - exact, axis=1) / np.linalg.norm(away, axis=1)
    assert 0 < error.max() < 0.15


def test_integer_convolutions_behind_the_first_blocks(graph: onnx.GraphProto) -> None:
    kinds = [node.op_type for node in graph.node]
    weights = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    integers = {name: value for name, value in weights.items() if name.endswith("_w_integers")}
    assert len(integers) == 2 * len(RANGES) == kinds.count("Conv") - 1 - 2 * FIRST
    assert all(value.dtype == np.int8 for value in integers.values())
    assert weights["stem_w"].dtype == np.float32


def test_no_two_neighbours_leave_16_bits(graph: onnx.GraphProto) -> None:
    """The worst that uint8 activations can do to a sum of two products, in the order that the runtime takes them."""
    for constant in graph.initializer:
        if constant.name.endswith("_w_integers"):
            weight = numpy_helper.to_array(constant).astype(np.int64)
            pairs = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, 2)
            assert 255 * np.maximum(pairs, 0).sum(axis=2).max() <= 32767
            assert 255 * np.minimum(pairs, 0).sum(axis=2).min() >= -32768
            assert np.abs(weight).max(axis=(1, 2, 3)).min() >= 60  # no channel is rounded coarser than need be


def test_steps_by_hand() -> None:
    weight = np.zeros((3, 4, 1, 1), np.float32)
    weight[0, :, 0, 0] = (2.54, 0, -1, 1)  # alone: its largest is 127 steps
    weight[1, :, 0, 0] = (1, 1.55, 0, 0)  # neighbours of one sign: their sum is 127.5 steps
    weight[2, :, 0, 0] = (-1, 1.27, -1.27, 1)  # of two signs, or no neighbours
    np.testing.assert_allclose(steps(weight), [0.02, 0.02, 0.01], rtol=1e-6)


def test_constants_are_within_half_a_step(graph: onnx.GraphProto) -> None:
    values = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    for number, conv in enumerate(packaged_network().convs[1 + 2 * FIRST :]):
        name = f"block{FIRST + number // 2}_{'ab'[number % 2]}"
        weight_steps = values[f"{name}_w_steps"].astype(np.float64)
        back = values[f"{name}_w_integers"] * weight_steps[:, None, None, None]
        assert (np.abs(back - conv.weight) <= 0.5001 * weight_steps[:, None, None, None]).all()
        bias_steps = values[f"{name}_b_steps"].astype(np.float64)
        assert (np.abs(values[f"{name}_b_integers"] * bias_steps - conv.bias) <= 0.51 * bias_steps).all()


def test_a_batch_changes_no_bit(embedder: OnnxEmbedder, crops: np.ndarray) -> None:
    one_by_one = np.concatenate([embedder.embed(crop[None]) for crop in crops])
    np.testing.assert_array_equal(embedder.embed(crops), one_by_one)
    np.testing.assert_array_equal(embedder.embed(crops[::-1])[::-1], one_by_one)


def test_the_same_bytes_each_time(model_cache: Path, graph: onnx.GraphProto) -> None:
    again = serialised(to_onnx(packaged_network(), Int8Graph(RANGES)))
    assert again == (model_cache / f"{MODEL_ID}.onnx").read_bytes() and len(again) < 7_000_000


@pytest.mark.slow
def test_a_model_of_its_own(embedder: OnnxEmbedder, cosface: Cosface, packaged_photos: Path, tmp_path: Path) -> None:
    assert embedder.model_id != open_dlib().model_id and set(embedder.thresholds) == {"none", "sum", "concat"}
    one, six = packaged_photos / "Tom_Hanks_54745.png", packaged_photos / "t1.jpg"
    assert cosface("embed", one, tmp_path / "a.h5", "--model", "dlib-int8").code == 0
    mixed = cosface("embed", one, tmp_path / "a.h5")
    assert mixed.code == 2 and "made with dlib-int8 (" in mixed.err and "expected dlib (" in mixed.err
    assert cosface("verify", one, six, "--model", "dlib-int8").code == 1
