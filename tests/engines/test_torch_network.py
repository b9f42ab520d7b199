"""Networks by torch, as on a GPU: the vectors of the graphs on ONNX Runtime, whatever comes with them in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cosface_cli.backbones.build_backbone import declaration
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders import Embedder
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.embedders.torch_network import TorchEmbedder
from cosface_cli.engines.embedders.vectors import unit_embeddings
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.maths.geometry import template
from cosface_cli.maths.unit_vectors import unit_length
from tests.runs import a_run


def faces(photos: Path, template_name: str) -> np.ndarray:
    """Eight real faces, and a black and a white picture, (10, H, W, 3)."""
    need = template(template_name)
    reader = Reader(open_detector("mtcnn", 20), need, "all")
    names = ("t1.jpg", "Tom_Hanks_54745.png")
    crops = [face.crop for name in names for face in reader.read(photos / name).faces][:8]
    return np.stack([*crops, *(np.full((need.height, need.width, 3), value, np.uint8) for value in (0, 255))])


@pytest.fixture(scope="module")
def dlib_faces(packaged_photos: Path, model_cache: Path) -> np.ndarray:
    return faces(packaged_photos, "dlib")


def same(one: Embedder, other: Embedder) -> bool:
    names = ("name", "model_id", "template", "size", "thresholds")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("flip", ("none", "concat"))
def test_the_built_in_default(dlib_faces: np.ndarray, flip):
    graph, network = open_embedder("dlib"), open_embedder("dlib", "cpu:0")
    assert isinstance(network, TorchEmbedder) and same(network, graph)
    want, found = (unit_embeddings(one, dlib_faces, flip) for one in (graph, network))
    assert np.abs(found - want).max() < 1e-5
    assert np.abs(want[:8] @ want[:8].T - np.eye(8)).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ("mobilefacenet", "sphere4"))
def test_trained_weights(backbone: str, packaged_photos: Path, tmp_path: Path, model_cache: Path):
    run = a_run(tmp_path / "mine", backbone, threshold=0.25, flip="sum")
    crops = faces(packaged_photos, declaration(backbone).template)
    for spec in (run, run / "weights.safetensors"):
        graph, network = open_embedder(str(spec)), open_embedder(str(spec), "cpu:0")
        assert isinstance(network, TorchEmbedder) and same(network, graph)
        assert network.name == "mine" and network.thresholds == {"sum": 0.25}
    want, found = (unit_length(one.embed(crops)) for one in (graph, network))
    assert np.abs(found - want).max() < 1e-5
    assert np.ptp(want @ want.T) > 1e-3


def test_an_embedding_does_not_depend_on_its_batch(dlib_faces: np.ndarray):
    network = open_embedder("dlib", "cpu:0")
    assert network.batch == 8
    whole = network.embed(dlib_faces)  # two batches, the second one filled up
    for start, stop in ((0, 1), (9, 10), (3, 7)):
        np.testing.assert_array_equal(network.embed(dlib_faces[start:stop]), whole[start:stop])
    assert network.embed(dlib_faces[:0]).shape == (0, 128)


@pytest.mark.parametrize(("precision", "cosine"), (("bf16", 0.999), ("fp16", 0.99999)))
def test_half_precision_is_near_and_not_the_same(precision: str, cosine: float, dlib_faces: np.ndarray):
    exact = unit_length(open_embedder("dlib").embed(dlib_faces[:8])).astype(np.float64)
    found = open_embedder("dlib", "cpu", precision).embed(dlib_faces[:8])
    assert found.dtype == np.float32
    near = (unit_length(found) * exact).sum(axis=1)
    assert near.min() > cosine
    assert np.abs(unit_length(found) - exact).max() > 1e-5


def test_what_is_refused(tmp_path: Path, dlib_faces: np.ndarray):
    network = open_embedder("dlib", "cpu:0")
    for wrong in (dlib_faces.astype(np.float32), dlib_faces[0], dlib_faces[..., :2]):
        with pytest.raises(ValueError, match="crops must be RGB uint8"):
            network.embed(wrong)
    with pytest.raises(CosfaceError, match="takes 'BGR' pixels"):
        open_embedder(str(a_run(tmp_path / "bgr", "mobilefacenet", color_order="BGR")), "cpu:0")
    with pytest.raises(DamagedError, match="takes crops 'arcface', not 'dlib'"):
        open_embedder(str(a_run(tmp_path / "other", "mobilefacenet", template="dlib")), "cpu:0")
    if not torch.cuda.is_available():
        with pytest.raises(CosfaceError, match="torch finds no device 'cuda' on this machine"):
            open_embedder("dlib", "cuda:0")
