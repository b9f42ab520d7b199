"""The built-in default as a network to train on: the embeddings of the graph and of dlib, in torch and exported."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cosface_cli.artifacts.run.weights import Weights, save_weights, tensors_id
from cosface_cli.backbones.build_backbone import build, declaration, load
from cosface_cli.backbones.dlib_resnet import Block
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.inputs import network_input
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders import dlib_embedder
from cosface_cli.engines.embedders.trained import open_trained
from cosface_cli.engines.models.starting_weights import starting_weights
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.engines.runtime.onnx_session import open_session, session_options
from cosface_cli.maths.geometry import TEMPLATES

DLIB = declaration("dlib29")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    start = starting_weights("default")
    return load(start.backbone, start.embedding_size, start.tensors)


@pytest.fixture(scope="module")
def crops(packaged_photos: Path, model_cache: Path) -> np.ndarray:
    """Eight real faces, and a black and a white picture."""
    reader = Reader(open_detector("mtcnn", 20), TEMPLATES["dlib"], "all")
    names = ("t1.jpg", "Tom_Hanks_54745.png")
    faces = [face.crop for name in names for face in reader.read(packaged_photos / name).faces]
    assert len(faces) == 8
    return np.stack([*faces, *(np.full((150, 150, 3), value, np.uint8) for value in (0, 255))])


def embedded(network: torch.nn.Module, crops: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(network_input(crops, DLIB.mean, DLIB.std))).numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def saved(folder: Path, network: torch.nn.Module, size: int = 128) -> Path:
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    header = Weights(
        backbone="dlib29",
        embedding_size=size,
        template=DLIB.template,
        model_id=tensors_id(tensors),
        mean=DLIB.mean,
        std=DLIB.std,
    )
    save_weights(folder / "weights.safetensors", tensors, header)
    return folder


def test_equal_to_the_graph(network: torch.nn.Module, crops: np.ndarray):
    want = dlib_embedder.open_dlib().embed(crops)
    assert np.abs(unit(embedded(network, crops)) - unit(want)).max() < 1e-5
    assert np.abs(unit(want[:8]) @ unit(want[:8]).T - np.eye(8)).max() > 0.1


def test_equal_to_dlib(network: torch.nn.Module, crops: np.ndarray):
    dlib = pytest.importorskip("dlib")
    spec = find_spec("face_recognition_models")
    assert spec is not None and spec.submodule_search_locations
    models = Path(spec.submodule_search_locations[0]) / "models"
    theirs = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    want = np.stack([np.array(theirs.compute_face_descriptor(crop)) for crop in crops])
    np.testing.assert_allclose(embedded(network, crops), want, atol=1e-5)


def test_channels_last_gives_the_same(network: torch.nn.Module, crops: np.ndarray):
    x = torch.from_numpy(network_input(crops[:2], DLIB.mean, DLIB.std)).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert np.abs(network(x).numpy() - embedded(network, crops[:2])).max() < 1e-5


def test_weights_of_it_embed_alike(network: torch.nn.Module, crops: np.ndarray, tmp_path: Path):
    """As cosface embed --model opens them."""
    embedder = open_trained(saved(tmp_path, network))
    assert (embedder.template, embedder.size) == ("dlib", 128)
    assert np.abs(unit(embedder.embed(crops)) - unit(dlib_embedder.open_dlib().embed(crops))).max() < 1e-5


def work(graph: bytes, folder: Path) -> Counter[str]:
    """The operators that ONNX Runtime runs, once it has put the graph in order."""
    options = session_options()
    options.optimized_model_filepath = str(folder / "ordered.onnx")
    (folder / "plain.onnx").write_bytes(graph)
    open_session(folder / "plain.onnx", options)
    return Counter(node.op_type for node in onnx.load(folder / "ordered.onnx").graph.node)


def test_the_exported_graph_does_no_more_than_the_default_one(network: torch.nn.Module, tmp_path: Path):
    ours = work(to_onnx(network, 150, 150), tmp_path)
    native = work(dlib_embedder.to_onnx(dlib_embedder.packaged_network()).SerializeToString(), tmp_path)
    assert sum(count for kind, count in native.items() if "Conv" in kind) == 29
    # the default takes uint8 pictures; a flattened mean and a linear layer have two names
    for same in (ours, native):
        for kind in ("Transpose", "Cast", "Flatten", "Reshape", "Gemm", "MatMul"):
            same.pop(kind, None)
    assert ours == native


def test_5_607_488_parameters():
    """29 convolutions and the linear layer; the count is of the shapes that dlib's file holds."""
    stem = 32 * 3 * 49 + 32
    blocks, inputs = 0, 32
    for outputs, count in ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1)):
        for _ in range(count):
            blocks += 9 * inputs * outputs + 9 * outputs * outputs + 2 * outputs
            inputs = outputs
    assert stem + blocks + 256 * 128 == 5_607_488
    network = build("dlib29", 128, 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_607_488


def test_maps_are_as_large_as_in_dlib():
    """35, 17, 8, then where the convolution without padding gives 3 and 1 the mean's 4 and 2."""
    network = build("dlib29", 128, 0)
    sides = []
    for block in network.modules():
        if isinstance(block, Block):
            block.register_forward_hook(lambda module, given, out: sides.append(out.shape[-1]))
    network(torch.zeros(1, 3, 150, 150))
    assert sides == [35] * 3 + [17] * 4 + [8] * 3 + [4] * 3 + [2]


def test_it_learns(crops: np.ndarray):
    """Every weight takes part, also with another embedding size."""
    network = build("dlib29", 16, 0)
    network(torch.from_numpy(network_input(crops[:2], DLIB.mean, DLIB.std))).square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still
