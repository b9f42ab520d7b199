"""The networks: their sizes counted by hand, their export, and what goes into them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cosface_cli.artifacts.weights import Weights, read_header, read_tensors, save_weights, tensors_id
from cosface_cli.backbones import BACKBONES
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.inputs import network_input
from cosface_cli.backbones.loading import build, declaration, load, tensors_of
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Beside other tests, threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def crops(count: int, name: str, seed: int = 0) -> np.ndarray:
    shape = template(declaration(name).template)
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, shape.height, shape.width, 3)).astype(np.uint8)


def inputs(count: int, name: str, seed: int = 0) -> torch.Tensor:
    chosen = declaration(name)
    return torch.from_numpy(network_input(crops(count, name, seed), chosen.mean, chosen.std))


def warmed(name: str) -> torch.nn.Module:
    """A network whose batch norm has seen something."""
    network = build(name, 32, seed=3).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what it saw
    with torch.no_grad():
        network(inputs(4, name))
    return network.eval()


def test_mobilefacenet_counted_by_hand():
    """A bottleneck with h = t inputs has h (inputs + outputs + 15) + 2 outputs: convolutions, norms, PReLUs."""
    stem = (3 * 64 * 9 + 3 * 64) + (64 * 9 + 3 * 64)
    bottlenecks = (
        5 * (128 * (64 + 64 + 15) + 2 * 64)
        + (256 * (64 + 128 + 15) + 2 * 128)
        + 6 * (256 * (128 + 128 + 15) + 2 * 128)
        + (512 * (128 + 128 + 15) + 2 * 128)
        + 2 * (256 * (128 + 128 + 15) + 2 * 128)
    )
    tail = (128 * 512 + 3 * 512) + (512 * 49 + 2 * 512)
    at_128 = stem + bottlenecks + tail + 512 * 128 + 2 * 128
    assert at_128 == 1_003_136  # Chen 2018, table 2: 0.99 M
    assert parameters(build("mobilefacenet", 128, 0)) == at_128
    assert parameters(build("mobilefacenet", 256, 0)) == at_128 + 514 * 128


def test_sphere20_counted_by_hand():
    total, inputs_ = 0, 3
    for channels, units in ((64, 1), (128, 2), (256, 4), (512, 1)):
        total += inputs_ * channels * 9 + channels + channels  # convolution, bias, PReLU
        total += units * 2 * (channels * channels * 9 + channels)
        inputs_ = channels
    total += 512 * 7 * 6 * 512 + 512
    network = build("sphere20", 512, 0)
    assert parameters(network) == total == 22_666_944
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert convolutions == 20


def test_sphere20_begins_as_published():
    network = build("sphere20", 512, 0)
    residual = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.stride == (1, 1)]
    assert len(residual) == 16
    assert all(weight.std().item() == pytest.approx(0.01, rel=0.05) for weight in residual)


@pytest.mark.parametrize("name", BACKBONES.names)
def test_an_embedding_for_each_crop(name: str):
    network = warmed(name)
    together = network(inputs(3, name))
    assert together.shape == (3, 32)
    alone = network(inputs(3, name)[1:2])
    assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES.names)
def test_first_weights_hang_on_the_seed_alone(name: str):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = tensors_of(build(name, 32, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert tensors_id(tensors_of(build(name, 32, seed=1))) == tensors_id(first)
    assert tensors_id(tensors_of(build(name, 32, seed=2))) != tensors_id(first)


@pytest.mark.parametrize("name", BACKBONES.names)
def test_onnx_gives_what_torch_gives(name: str):
    network = warmed(name)
    shape = template(declaration(name).template)
    content = to_onnx(network, shape.height, shape.width)
    assert content == to_onnx(network, shape.height, shape.width)
    onnx.checker.check_model(onnx.load_from_string(content))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["crops"]
    assert session.get_inputs()[0].shape[1:] == [3, shape.height, shape.width]
    for count in (1, 5):
        x = inputs(count, name, seed=count)
        (found,) = session.run(["embedding"], {"crops": x.numpy()})
        with torch.no_grad():
            expected = network(x).numpy()
        assert found.shape == (count, 32)
        assert np.abs(expected).max() > 0.01
        assert np.abs(found - expected).max() < 1e-4


def test_export_leaves_the_network_as_it_was():
    network = warmed("mobilefacenet").to(memory_format=torch.channels_last).train()
    to_onnx(network, 112, 112)
    assert network.training
    assert next(network.parameters()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", BACKBONES.names)
def test_weights_and_header_round_trip(name: str, tmp_path):
    network = warmed(name)
    tensors = tensors_of(network)
    path = tmp_path / "weights.safetensors"
    save_weights(path, tensors, Weights(name, 32, declaration(name).template, tensors_id(tensors), threshold=0.25))
    header = read_header(path)
    assert (header.backbone, header.embedding_size, header.threshold) == (name, 32, 0.25)
    again = load(header.backbone, header.embedding_size, read_tensors(path))
    assert torch.equal(again(inputs(2, name)), network(inputs(2, name)))


def test_weights_of_another_size_are_refused():
    tensors = tensors_of(build("mobilefacenet", 32, 0))
    with pytest.raises(CosfaceError, match="do not fit the backbone 'mobilefacenet' with embedding size 64"):
        load("mobilefacenet", 64, tensors)
    with pytest.raises(CosfaceError, match="do not fit the backbone 'sphere20'"):
        load("sphere20", 32, tensors)
    with pytest.raises(CosfaceError, match="did you mean 'mobilefacenet'"):
        load("mobilfacenet", 32, tensors)


def test_pixels_as_the_paper_scales_them():
    crop = np.zeros((1, 2, 2, 3), np.uint8)
    crop[0, 0, 1] = (255, 127, 0)
    x = network_input(crop, (127.5,) * 3, (128.0,) * 3)
    assert x.shape == (1, 3, 2, 2)
    assert x.dtype == np.float32
    assert x[0, :, 0, 1].tolist() == [0.99609375, -0.00390625, -0.99609375]


def test_mean_and_std_are_per_channel():
    crop = np.full((1, 1, 1, 3), 100, np.uint8)
    assert network_input(crop, (100, 90, 80), (1, 2, 4)).ravel().tolist() == [0.0, 5.0, 5.0]


@pytest.mark.parametrize("wrong", (np.zeros((2, 112, 112, 3)), np.zeros((112, 112, 3), np.uint8)))
def test_other_pixels_are_refused(wrong: np.ndarray):
    with pytest.raises(ValueError, match="uint8"):
        network_input(wrong, (127.5,) * 3, (128.0,) * 3)
