"""What every loss owes: true gradients, finite edges, full precision, a state that can be gone on from, learning."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.losses.build_loss import build
from cosface_cli.losses.cosface import CosFace
from cosface_cli.losses.loss_descriptions import describe_losses
from cosface_cli.losses.normalised import cosines
from cosface_cli.losses.nsl import NSL

CLASSIFIERS = [name for name in LOSSES.names if name != "triplet"]
SCALED = [name for name in LOSSES.names if "s" in LOSSES.load(name).DEFAULTS]
LABELS = torch.tensor([0, 3, 1, 3, 2, 0])


def make(name: str, embedding_size: int, identities: int, **values: float) -> nn.Module:
    return build(name, embedding_size, identities, values, seed=0)


def batch(dtype: torch.dtype = torch.float32, size: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(len(LABELS), size, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("name", LOSSES.names)
def test_gradients_are_the_numeric_ones(name: str):
    values: dict[str, float] = {"s": 8.0} if name in SCALED else {}
    if "lambda_max" in LOSSES.load(name).DEFAULTS:
        values |= {"lambda_max": 1.0, "lambda_min": 0.0}
    if name == "magface":
        values |= {"l_a": 0.5, "u_a": 5.0}  # lengths within the range, where the margin has a gradient too
    name_of_loss, head = name, make(name, 5, 4, **values).double().eval()
    weights = tuple(parameter.detach().clone().requires_grad_() for parameter in head.parameters())
    names = [key for key, _ in head.named_parameters()]

    def loss(x: Tensor, *weights: Tensor) -> Tensor:
        if name_of_loss == "adaface":  # to which the length is a constant
            x = 7 * F.normalize(x)
        return torch.func.functional_call(head, dict(zip(names, weights, strict=True)), (x, LABELS))

    assert torch.autograd.gradcheck(loss, (batch(torch.float64).requires_grad_(), *weights))


def own_weight(head: nn.Module) -> Tensor:
    """A vector (C, D) on each identity's weight, its first centre where there are several."""
    weight = head.weight.detach()
    return weight[:, 0] if weight.ndim == 3 else weight


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("sign", (1.0, -1.0))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_finite_on_and_opposite_the_class_weight(name: str, sign: float, dtype: torch.dtype):
    head = make(name, 16, 3).to(dtype)
    x = (sign * own_weight(head) * 1.7).requires_grad_()
    loss = head(x, torch.arange(3))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("cosine", (1.0, -1.0, 0.0))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_the_slope_at_a_cosine_of_exactly_one_is_finite(name: str, cosine: float, dtype: torch.dtype):
    head = LOSSES.load(name)(2, 2).to(dtype)
    found = torch.tensor([[cosine, 0.3]], dtype=dtype, requires_grad=True)
    logits = head.margined(found, found[:, 0], torch.tensor([0]), torch.tensor([20.0], dtype=dtype))
    F.cross_entropy(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits).all() and torch.isfinite(found.grad).all()


@pytest.mark.parametrize("name", LOSSES.names)
def test_finite_for_embeddings_of_zeros_and_for_equal_ones(name: str):
    for x in (torch.zeros(2, 16), torch.ones(2, 16)):
        for labels in ([0, 1], [1, 1]):
            head = make(name, 16, 3)
            x = x.detach().clone().requires_grad_()
            loss = head(x, torch.tensor(labels))
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", LOSSES.names)
def test_one_crop_alone_has_a_loss(name: str):
    head = make(name, 8, 3)
    loss = head(torch.randn(1, 8, requires_grad=True), torch.tensor([2]))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())


@pytest.mark.parametrize("name", LOSSES.names)
@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_precision_gives_full_logits(name: str, dtype: torch.dtype):
    x = batch(dtype, 32)
    expected = make(name, 32, 7)(x.float(), LABELS)
    assert expected.dtype == torch.float32
    assert torch.equal(make(name, 32, 7)(x, LABELS), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(make(name, 32, 7)(x.float(), LABELS), expected)
    head = make(name, 32, 7)
    scores = head.scores(x)
    if scores is None:
        assert head.weight is None and head.target_cosines(x, LABELS) is None
        return
    assert scores.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.scores(x.float()), scores)
        assert torch.equal(head.similarities(x), head.similarities(x.float()))
        assert head.target_cosines(x, LABELS).dtype == torch.float32
        assert torch.equal(head.penalty(x, LABELS), make(name, 32, 7).penalty(x.float(), LABELS))


@pytest.mark.parametrize("name", LOSSES.names)
def test_double_precision_stays(name: str):
    assert make(name, 5, 4).double()(batch(torch.float64), LABELS).dtype == torch.float64


def trace(head: nn.Module, steps: int, start: int) -> list[float]:
    """The losses of steps that train nothing but what the loss itself remembers."""
    generator = torch.Generator().manual_seed(start)
    found = []
    for _ in range(steps):
        x = 9 * torch.rand(6, 5, generator=generator)
        found.append(head(x, LABELS).item())
        found.extend(head.measures().values())
    return found


@pytest.mark.parametrize("name", LOSSES.names)
def test_what_it_remembers_is_gone_on_from(name: str):
    straight = make(name, 5, 4)
    trace(straight, 7, start=1)
    expected = trace(straight, 5, start=2)
    begun = make(name, 5, 4)
    trace(begun, 7, start=1)
    resumed = build(name, 5, 4, {}, seed=99)
    resumed.load_state_dict(begun.state_dict())
    torch.manual_seed(1234)  # torch's own random state is no part of it
    assert trace(resumed, 5, start=2) == expected


@pytest.mark.parametrize("name", LOSSES.names)
def test_only_training_changes_what_it_remembers(name: str):
    head = make(name, 5, 4).eval()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head(batch(), LABELS)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())
    head.train()(batch(), LABELS)
    remembers = {"sphereface", "sphereface-norm", "l-softmax", "center", "adaface", "curricularface"}
    remembers |= {"elasticface", "magface"}
    changed = [key for key, value in head.state_dict().items() if not torch.equal(value, before[key])]
    assert bool(changed) == (name in remembers)


@pytest.mark.parametrize("name", LOSSES.names)
def test_two_steps_may_be_added_before_going_back(name: str):
    """Accumulated gradients: the second step's state is not the first one's."""
    head = make(name, 5, 4)
    x = batch().requires_grad_()
    (head(x, LABELS) + head(x, LABELS)).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES.names)
def test_it_learns(name: str):
    """Four people, a linear network: after training each is nearest to their own."""
    torch.manual_seed(0)
    people = torch.randn(4, 20)
    labels = torch.arange(4).repeat(8)
    crops = people[labels] + 0.7 * torch.randn(32, 20)
    network, head = nn.Linear(20, 8), make(name, 8, 4, **({"s": 16.0} if name in SCALED else {}))
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(150):
        loss = head(network(crops), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if name != "magface":  # its regulariser has no zero
        assert losses[-1] < 0.5 * max(losses[:3])
    with torch.no_grad():
        x = F.normalize(network(crops))
    cos = x @ x.T - 2 * torch.eye(32)
    assert (labels[cos.argmax(dim=1)] == labels).float().mean() > 0.95
    if name != "triplet":
        assert (head.scores(network(crops)).argmax(dim=1) == labels).float().mean() > 0.95


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_target_cosines_are_those_of_the_weights(name: str):
    head = make(name, 5, 4)
    weight = head.weight if head.weight.ndim == 3 else head.weight[:, None]  # (C, K, D)
    expected = F.cosine_similarity(batch()[:, None], weight[LABELS], dim=2).amax(dim=1)
    assert torch.allclose(head.target_cosines(batch(), LABELS), expected, atol=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores_decide_as_the_logits_without_labels_do(name: str):
    head = make(name, 5, 4).eval()
    x, elsewhere = batch(), torch.full((6,), -1)
    own = torch.ones(6)  # beside which nothing is hard to CurricularFace
    logits = head.margined(head.similarities(x), own, elsewhere, x.norm(dim=1))
    assert torch.allclose(head.scores(x), logits, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cosface", {"s": 0.0}),
        ("cosface", {"m": -0.1}),
        ("cosface-unnormalised", {"m": -0.1}),
        ("nsl", {"s": -1.0}),
        ("sphereface", {"m": 2.5}),
        ("sphereface", {"m": 0}),
        ("sphereface", {"lambda_min": 9.0, "lambda_max": 5.0}),
        ("sphereface-norm", {"gamma": -1.0}),
        ("l-softmax", {"power": -1.0}),
        ("arcface", {"m": 2.0}),
        ("combined", {"m1": 0.0}),
        ("combined", {"m3": -0.1}),
        ("subcenter-arcface", {"k": 0}),
        ("subcenter-arcface", {"k": 1.5}),
        ("curricularface", {"alpha": 1.5}),
        ("magface", {"l_a": 110.0, "u_a": 10.0}),
        ("magface", {"l_m": 0.9, "u_m": 0.8}),
        ("adaface", {"h": -1.0}),
        ("elasticface", {"sigma": -0.1}),
        ("center", {"alpha": 2.0}),
        ("contrastive", {"m": 2.5}),
        ("triplet", {"alpha": 0.0}),
        ("softmax", {"s": 3.0}),
        ("cosface", {"margin": 0.3}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, values: Mapping[str, float]):
    with pytest.raises(CosfaceError):
        make(name, 4, 3, **values)


def test_building_leaves_the_random_state_and_follows_the_seed():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = build("elasticface", 4, 3, {}, seed=1), build("elasticface", 4, 3, {}, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert not torch.equal(one.seed, build("elasticface", 4, 3, {}, seed=2).seed)


def test_the_list_says_what_each_is():
    rows = {row.name: row for row in describe_losses()}
    assert list(rows) == LOSSES.names
    assert rows["cosface"].settings == {"s": 64.0, "m": 0.35}
    assert rows["sphereface"].settings == {
        "m": 4,
        "lambda_min": 5.0,
        "lambda_max": 1000.0,
        "gamma": 0.12,
        "power": 1.0,
    }
    assert rows["adaface"].settings == {"s": 64.0, "m": 0.4, "h": 0.333, "alpha": 0.99}
    for row in rows.values():
        assert "\n" not in row.equation + row.source and "  " not in row.equation
        assert re.match(r"\S.* (19|20)\d\d", row.source), f"{row.name}: SOURCE begins with author and year"
        loss = LOSSES.load(row.name)
        assert row.source.split(",")[0] in loss.__doc__, row.name  # author and year
        assert all(name in row.equation or name in loss.__doc__ for name in row.settings), row.name


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


def test_the_margin_in_the_angle_is_part_of_the_gradient():
    """d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta), not 1 as with the margin held constant."""
    head, theta, m = LOSSES.load("arcface")(2, 2, s=1.0), 0.8, 0.5
    cos = torch.tensor([[math.cos(theta), 0.1]], dtype=torch.float64, requires_grad=True)
    head.margined(cos, cos[:, 0], torch.tensor([0]), torch.ones(1))[0, 0].backward()
    assert cos.grad[0, 0].item() == pytest.approx(math.sin(theta + m) / math.sin(theta), rel=1e-9)


def test_without_margin_it_is_nsl():
    x, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    margin_free, nsl = CosFace(8, 5, m=0.0), NSL(8, 5)
    nsl.load_state_dict(margin_free.state_dict())
    assert torch.equal(margin_free(x, labels), nsl(x, labels))


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


def test_a_loss_without_a_description_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(CosFace, "EQUATION")
    rows = {row.name: row for row in describe_losses()}
    assert list(rows) == LOSSES.names and rows["cosface"].equation == "not given" != rows["nsl"].equation
