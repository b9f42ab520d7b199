"""The networks: their sizes counted by hand, their export, and what goes into them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cosface_cli.artifacts.run.weights import Weights, read_header, read_tensors, save_weights, tensors_id
from cosface_cli.backbones import BACKBONES
from cosface_cli.backbones.build_backbone import build, declaration, load, tensors_of
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.inputs import network_input, network_tensor
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template

# the deep ones are the same code with more units; their shapes are tested for all
RUN = ("dlib29", "mobilefacenet", "sphere4", "sphere20", "iresnet18")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Beside other tests, threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_paper(name: str, embedding_size: int) -> torch.nn.Module:
    """A network of shapes alone, without memory for its weights."""
    with torch.device("meta"):
        return declaration(name)(embedding_size)


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


# Liu 2017, table 2: residual units of each stage, each stage begun by a convolution of stride 2
SPHERES = {
    "sphere4": ((0, 0, 0, 0), 12_562_496),
    "sphere10": ((0, 1, 2, 0), 15_217_984),
    "sphere20": ((1, 2, 4, 1), 22_666_944),
    "sphere36": ((2, 4, 8, 2), 32_771_392),
    "sphere64": ((3, 8, 16, 3), 48_186_816),
}


@pytest.mark.parametrize("name", SPHERES)
def test_spheres_counted_by_hand(name: str):
    """The paper gives no counts: a convolution, bias and PReLU to begin a stage, two convolutions and PReLUs a unit."""
    stages, published = SPHERES[name]
    total, inputs_ = 0, 3
    for channels, units in zip((64, 128, 256, 512), stages, strict=True):
        total += inputs_ * channels * 9 + channels + channels
        total += units * 2 * (channels * channels * 9 + channels)
        inputs_ = channels
    total += 512 * 7 * 6 * 512 + 512
    network = on_paper(name, 512)
    assert parameters(network) == total == published
    # the network's name counts its convolutions
    assert sum(isinstance(module, torch.nn.Conv2d) for module in network.modules()) == int(name[6:])


# units of each stage; millions of parameters as the authors of ArcFace publish them for 512 dimensions (LResNet34E-IR
# and LResNet100E-IR also stand in the Open Model Zoo, with 34.129 and 65.132 M: without the slopes of batch norms held)
IRESNETS = {
    "iresnet18": ((2, 2, 2, 2), 24.0),
    "iresnet34": ((3, 4, 6, 3), 34.1),
    "iresnet50": ((3, 4, 14, 3), 43.6),
    "iresnet100": ((3, 13, 30, 3), 65.2),
}


@pytest.mark.parametrize("name", IRESNETS)
def test_iresnets_counted_by_hand(name: str):
    """Batch norms have two numbers a channel, PReLUs one; a unit that halves has a 1x1 and a norm beside it."""
    stages, published = IRESNETS[name]
    total, inputs_ = 3 * 64 * 9 + 3 * 64, 64
    for outputs, units in zip((64, 128, 256, 512), stages, strict=True):
        for unit in range(units):
            total += 9 * inputs_ * outputs + 9 * outputs * outputs + 2 * inputs_ + 5 * outputs
            total += inputs_ * outputs + 2 * outputs if unit == 0 else 0
            inputs_ = outputs
    total += 2 * 512 + 512 * 49 * 512 + 512 + 2 * 512
    network = on_paper(name, 512)
    assert parameters(network) == total
    assert round(total / 1e6, 1) == published
    # layers by the convolutions of the units, the first one, and the linear one
    assert 2 * sum(stages) + 2 == int(name[7:])
    assert (
        sum(isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3) for m in network.modules()) == int(name[7:]) - 1
    )


@pytest.mark.parametrize("size", (None, 96))
@pytest.mark.parametrize("name", BACKBONES.names)
def test_crops_in_embeddings_out(name: str, size: int | None):
    """Shapes alone, for every network, of its own embedding size and of another."""
    chosen = declaration(name)
    shape = template(chosen.template)
    dimensions = size or chosen.embedding_size
    network = on_paper(name, dimensions).eval()
    assert network(torch.empty(2, 3, shape.height, shape.width, device="meta")).shape == (2, dimensions)


def test_templates_and_sizes_as_published():
    """112x96 (Wang 2018, section 4.1; Liu 2017), 112x112 (Deng 2019; Chen 2018), 150x150 (dlib); (x - 127.5) / 128."""
    for name in BACKBONES.names:
        chosen = declaration(name)
        own = "sphereface" if name in SPHERES else "dlib" if name == "dlib29" else "arcface"
        assert chosen.template == own
        assert chosen.embedding_size == {"mobilefacenet": 256, "dlib29": 128}.get(name, 512)
        if name != "dlib29":
            assert (chosen.mean, chosen.std) == ((127.5,) * 3, (128.0,) * 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("sphere20", "sphere64"))
def test_spheres_begin_as_published(name: str):
    """SphereFace's prototxt: gaussian of 0.01 within units, xavier elsewhere, which in Caffe is uniform in
    +-sqrt(3 / inputs); biases 0, slopes 0.25."""
    network = build(name, 512, 0)
    residual, others = [], []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            (residual if module.stride == (1, 1) else others).append(module)
        elif isinstance(module, torch.nn.Linear):
            others.append(module)
        elif isinstance(module, torch.nn.PReLU):
            assert torch.equal(module.weight, torch.full_like(module.weight, 0.25))
    assert len(residual) == int(name[6:]) - 4 and len(others) == 5
    for module in residual:
        assert module.bias is None
        assert module.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert abs(module.weight.mean().item()) < 1e-4
        assert (module.weight.abs() > 0.03).float().mean().item() == pytest.approx(0.0027, abs=0.0015)  # 3 sigma
    for module in others:
        bound = (3 / module.weight[0].numel()) ** 0.5
        assert 0.99 * bound < module.weight.abs().max().item() <= bound
        assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert not module.bias.any()


def test_iresnet_begins_with_variance_two_over_outputs():
    network = build("iresnet18", 512, 0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            spread = 1 if isinstance(module, torch.nn.Linear) else module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / (len(module.weight) * spread)) ** 0.5, rel=0.05)
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            assert torch.equal(module.weight, torch.ones_like(module.weight)) and not module.bias.any()
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["norm.weight"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ("dlib29", "mobilefacenet", "sphere10", "iresnet18"))
def test_half_precision_and_channels_last(name: str):
    """Under autocast to bfloat16 the embeddings point the same way, and every weight has a finite gradient."""
    network = warmed(name).to(memory_format=torch.channels_last)
    x = inputs(2, name).to(memory_format=torch.channels_last)
    with torch.no_grad():
        whole = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = network.train()(x) if name in ("dlib29", "sphere10") else network(x)
    cosines = torch.nn.functional.cosine_similarity(half.float(), whole)
    assert cosines.min().item() > 0.99
    half.float().square().sum().backward()
    for parameter in network.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
            assert parameter.grad.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_an_embedding_for_each_crop(name: str):
    network = warmed(name)
    together = network(inputs(3, name))
    assert together.shape == (3, 32)
    alone = network(inputs(3, name)[1:2])
    assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_first_weights_hang_on_the_seed_alone(name: str):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = tensors_of(build(name, 32, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert tensors_id(tensors_of(build(name, 32, seed=1))) == tensors_id(first)
    assert tensors_id(tensors_of(build(name, 32, seed=2))) != tensors_id(first)


@pytest.mark.slow
@pytest.mark.parametrize("name", (*RUN, "sphere64"))
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


@pytest.mark.parametrize("name", RUN)
def test_weights_and_header_round_trip(name: str, tmp_path):
    network = warmed(name)
    tensors = tensors_of(network)
    path = tmp_path / "weights.safetensors"
    save_weights(
        path,
        tensors,
        Weights(
            backbone=name,
            embedding_size=32,
            template=declaration(name).template,
            model_id=tensors_id(tensors),
            threshold=0.25,
        ),
    )
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


@pytest.mark.parametrize(("mean", "std"), [((127.5,) * 3, (128.0,) * 3), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))])
def test_the_same_to_the_bit_as_a_tensor(mean: tuple[float, ...], std: tuple[float, ...]):
    some = np.random.default_rng(0).integers(0, 256, (3, 20, 18, 3)).astype(np.uint8)
    x = network_tensor(some, mean, std, torch.device("cpu"))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(x.numpy(), network_input(some, mean, std))


@pytest.mark.parametrize("wrong", (np.zeros((2, 112, 112, 3)), np.zeros((112, 112, 3), np.uint8)))
def test_other_pixels_are_refused(wrong: np.ndarray):
    with pytest.raises(ValueError, match="uint8"):
        network_input(wrong, (127.5,) * 3, (128.0,) * 3)
    with pytest.raises(ValueError, match="uint8"):
        network_tensor(wrong, (127.5,) * 3, (128.0,) * 3, torch.device("cpu"))
