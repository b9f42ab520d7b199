"""The quick gradient of PReLU is torch's."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from cosface_cli.backbones import prelu
from cosface_cli.backbones.prelu import PReLU


def both(x: torch.Tensor, channels: int, autocast: bool = False) -> list[list[torch.Tensor]]:
    """Output and gradients of ours and torch's for the same upstream gradient."""
    out = []
    for kind in (PReLU, nn.PReLU):
        module = kind(channels).to(x.dtype)
        with torch.no_grad():
            module.weight.copy_(torch.linspace(-0.2, 0.6, channels))
        leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = module(leaf)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype))
        assert leaf.grad is not None and module.weight.grad is not None
        out.append([y.detach(), leaf.grad, module.weight.grad])
    return out


@pytest.mark.parametrize("block", (1, 100, 1 << 17))
@pytest.mark.parametrize("channels_last", (True, False))
def test_it_equals_torch(monkeypatch: pytest.MonkeyPatch, block: int, channels_last: bool):
    monkeypatch.setattr(prelu, "_BLOCK", block)
    x = torch.randn(3, 8, 7, 5, generator=torch.Generator().manual_seed(1))
    x[0, :, 0, 0] = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e30, 5.0, -5.0, 1.0])
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    (y, of_x, of_slope), (expected, of_x_expected, of_slope_expected) = both(x, 8)
    assert torch.equal(y, expected) and torch.equal(of_x, of_x_expected)
    assert of_x.is_contiguous(memory_format=torch.channels_last) == channels_last
    torch.testing.assert_close(of_slope, of_slope_expected, rtol=1e-5, atol=1e-5)


def test_gradcheck():
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    module = PReLU(4).double()
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(module, {"weight": w}, (x,)), (x, module.weight)
    )


def test_under_autocast_it_equals_torch_and_sums_the_slope_in_float32():
    x = torch.randn(6, 8, 40, 41, generator=torch.Generator().manual_seed(1))
    x[:, 0] = -1  # the sum over this channel is 9840, which bfloat16 does not have
    x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    slopes = torch.linspace(-0.2, 0.6, 8)
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16)
    upstream[:, 0] = 1
    found = []
    for kind in (PReLU, nn.PReLU):
        module = kind(8)
        with torch.no_grad():
            module.weight.copy_(slopes)
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = module(leaf)
        y.backward(upstream)
        found.append((y.detach(), leaf.grad, module.weight.grad, y.grad_fn.name()))
    (y, of_x, of_slope, made_by), (expected, of_x_expected, of_slope_expected, torchs) = found
    assert made_by != torchs
    assert y.dtype == torch.bfloat16 and torch.equal(y, expected)
    assert torch.equal(of_x, of_x_expected)
    assert of_slope.dtype == torch.float32
    assert of_slope[0] == -9840 != of_slope_expected[0]
    exact = (upstream.double() * x.double() * (x <= 0)).sum(dim=(0, 2, 3))
    torch.testing.assert_close(of_slope.double(), exact, rtol=0, atol=0.5)  # products of up to 8, rounded to 1 in 512


def test_what_has_no_advantage_is_torch_s():
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    for a, b in zip(*both(x, 8, autocast=True), strict=True):  # float32 in: autocast has its way
        assert torch.equal(a, b) and a.dtype == b.dtype
    flat = torch.randn(5, 8, requires_grad=True)
    assert PReLU(8)(flat).grad_fn.name() == nn.PReLU(8)(flat).grad_fn.name()
    with torch.no_grad():
        assert torch.equal(PReLU(8)(x), nn.PReLU(8)(x))


def test_weights_go_by_the_same_names():
    ours, torchs = PReLU(6), nn.PReLU(6)
    assert list(ours.state_dict()) == list(torchs.state_dict())
    torch.save(copy.deepcopy(ours).state_dict(), io.BytesIO())
