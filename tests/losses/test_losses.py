"""The losses against values worked by hand, torch's own softmax, and numeric gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cosface_cli.losses import LOSSES
from cosface_cli.losses.cosface import CosFace
from cosface_cli.losses.normalised import cosines
from cosface_cli.losses.nsl import NSL
from cosface_cli.losses.softmax import Softmax

COSINE_LOSSES = ("cosface", "nsl")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Beside other tests, threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, embedding_size: int, identities: int, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return LOSSES.load(name)(embedding_size, identities)


def by_hand(head: torch.nn.Module) -> torch.nn.Module:
    """Class weights along x, y and -x, of different lengths: with (3, 4) the cosines are 0.6, 0.8 and -0.6."""
    head = head.double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0]], dtype=torch.float64))
    return head


X = torch.tensor([[3.0, 4.0]], dtype=torch.float64)


def test_cosface_is_equation_4():
    loss = by_hand(CosFace(2, 3, s=2.0, m=0.1))(X, torch.tensor([0]))
    # logits 2 (0.6 - 0.1) = 1, 2 (0.8) = 1.6, 2 (-0.6) = -1.2
    expected = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(1.6) + math.exp(-1.2)))
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_nsl_is_equation_3():
    loss = by_hand(NSL(2, 3, s=2.0))(X, torch.tensor([2]))
    expected = -math.log(math.exp(-1.2) / (math.exp(1.2) + math.exp(1.6) + math.exp(-1.2)))
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_softmax_is_equation_1():
    head = by_hand(Softmax(2, 3))
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.5, -1.0, 0.0]))
    # logits 15 + 0.5, 0.4 - 1, -6
    expected = -math.log(math.exp(-0.6) / (math.exp(15.5) + math.exp(-0.6) + math.exp(-6.0)))
    assert head(X, torch.tensor([1])).item() == pytest.approx(expected, abs=1e-12)


def test_scores_are_without_the_margin():
    assert by_hand(CosFace(2, 3, s=2.0, m=0.1)).scores(X)[0].tolist() == pytest.approx([1.2, 1.6, -1.2])


def test_loss_at_right_angles_is_ln_of_c_with_its_margin():
    head = CosFace(4, 3).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(3, 4))
    x = torch.tensor([[0.0, 0.0, 0.0, 7.0]], dtype=torch.float64)
    # s m = 22.4: ln(2) + 22.4 but for e^-22.4
    assert head(x, torch.tensor([1])).item() == pytest.approx(math.log(1 + 2 * math.exp(22.4)), abs=1e-9)


def test_the_mean_is_over_the_batch():
    head = make("cosface", 6, 5).double()
    x, labels = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 4, 2, 2])
    one_by_one = [head(x[i : i + 1], labels[i : i + 1]).item() for i in range(4)]
    assert head(x, labels).item() == pytest.approx(sum(one_by_one) / 4, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES.names)
def test_gradients_are_the_numeric_ones(name: str):
    torch.manual_seed(1)
    head = LOSSES.load(name)(5, 4, **({"s": 8.0} if name in COSINE_LOSSES else {})).double()
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 1])

    def loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, {"weight": weight}, (x, labels))

    assert torch.autograd.gradcheck(loss, (x, head.weight.detach().clone().requires_grad_()))


def test_the_margin_is_part_of_the_gradient():
    """dL/dcos_y = s (p_y - 1), with the p that the margin lowers."""
    s, m, cos_y = 64.0, 0.35, 0.3
    head = CosFace(2, 2, s=s, m=m).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    x = torch.tensor([[cos_y, math.sqrt(1 - cos_y**2)]], dtype=torch.float64, requires_grad=True)
    head(x, torch.tensor([0])).backward()
    cos_other = math.sqrt(1 - cos_y**2)
    p = 1 / (1 + math.exp(s * (cos_other - (cos_y - m))))
    # along the circle, d cos_y = -sin a, d cos_other = cos a
    along = torch.tensor([-cos_other, cos_y], dtype=torch.float64)
    expected = s * (p - 1) * -cos_other + s * (1 - p) * cos_y
    assert (x.grad[0] @ along).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES.names)
@pytest.mark.parametrize("sign", (1.0, -1.0))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_finite_on_and_opposite_the_class_weight(name: str, sign: float, dtype: torch.dtype):
    head = make(name, 16, 3).to(dtype)
    x = (sign * head.weight.detach() * 1.7).requires_grad_()
    loss = head(x, torch.arange(3))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(head.weight.grad).all()


@pytest.mark.parametrize("name", LOSSES.names)
def test_finite_for_an_embedding_of_zeros(name: str):
    head = make(name, 16, 3)
    x = torch.zeros(2, 16, requires_grad=True)
    loss = head(x, torch.tensor([0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


def test_without_margin_it_is_nsl():
    x, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    margin_free, nsl = CosFace(8, 5, m=0.0), NSL(8, 5)
    nsl.load_state_dict(margin_free.state_dict())
    assert torch.equal(margin_free(x, labels), nsl(x, labels))


@pytest.mark.parametrize("name", LOSSES.names)
@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_precision_gives_full_logits(name: str, dtype: torch.dtype):
    head = make(name, 32, 7)
    x = torch.randn(4, 32).to(dtype)
    scores = head.scores(x)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, head.scores(x.float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.scores(x.float()), scores)
        assert head(x, torch.tensor([0, 1, 2, 3])).dtype == torch.float32


@settings(deadline=None)
@given(
    factor=st.floats(1e-3, 1e3),
    low=st.floats(0.0, 0.4),
    step=st.floats(0.01, 0.3),
    seed=st.integers(0, 1000),
)
def test_lengths_do_not_matter_and_a_wider_margin_costs(factor: float, low: float, step: float, seed: int):
    torch.manual_seed(seed)
    x, labels = torch.randn(5, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    narrow, wide = CosFace(6, 4, m=low).double(), CosFace(6, 4, m=low + step).double()
    wide.load_state_dict(narrow.state_dict())
    before = narrow(x, labels).item()
    assert wide(x, labels).item() > before
    with torch.no_grad():
        narrow.weight *= factor
    assert narrow(x * factor, labels).item() == pytest.approx(before, rel=1e-9)


def test_cosines_are_those_of_torch_and_never_above_one():
    x, w = torch.randn(40, 3), torch.randn(30, 3)
    expected = F.cosine_similarity(x[:, None], w[None], dim=2)
    assert torch.allclose(cosines(x, w), expected, atol=1e-6)
    assert cosines(x, x).max() <= 1.0
    assert cosines(x, -x).min() >= -1.0


def test_first_weights_point_everywhere_alike():
    weight = make("cosface", 256, 400).weight
    assert weight.norm(dim=1).mean().item() == pytest.approx(1.0, abs=0.05)
    assert cosines(weight, weight).fill_diagonal_(0).abs().max() < 0.4


def test_the_table_names_what_each_loss_takes():
    assert {name: dict(LOSSES.load(name).DEFAULTS) for name in LOSSES.names} == {
        "cosface": {"s": 64.0, "m": 0.35},
        "nsl": {"s": 64.0},
        "softmax": {},
    }
