"""Each loss against its equation, worked out in numpy at double precision, one row and one class after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cosface_cli.losses import LOSSES
from cosface_cli.losses.angular_margins import angles, cos_of_sum, psi, psi_of_multiple

Array = NDArray[np.float64]

# 4 crops of 3 identities in 3 dimensions; the third is opposite to its identity, the fourth on it
W = np.array([[1.0, 0.0, 0.5], [0.0, 2.0, 0.0], [-1.0, 1.0, 1.0]])
X = np.array([[3.0, 4.0, 0.0], [0.5, 0.1, -1.0], [2.0, -2.0, -1.5], [0.0, 12.0, 0.1]])
Y = np.array([0, 1, 2, 1])
B = np.array([0.5, -1.0, 0.25])


def angle(x: Array, w: Array) -> float:
    return math.acos(max(-1.0, min(1.0, float(x @ w) / math.sqrt(float(x @ x) * float(w @ w)))))


def negative_log(target: float, others: list[float]) -> float:
    return -math.log(math.exp(target) / (math.exp(target) + sum(math.exp(other) for other in others)))


def mean_over_crops(target: Callable[[float, Array], float], s: float) -> float:
    """target: s-free logit of theta_y and x; the others' are cosines."""
    found = []
    for x, y in zip(X, Y, strict=True):
        others = [s * math.cos(angle(x, W[j])) for j in range(3) if j != y]
        found.append(negative_log(s * target(angle(x, W[y]), x), others))
    return float(np.mean(found))


def computed(name: str, **values: float) -> float:
    """The loss of X, Y as a fresh head in evaluation gives it."""
    return head_of(name, **values).eval()(torch.from_numpy(X), torch.from_numpy(Y)).item()


def head_of(name: str, **values: float) -> torch.nn.Module:
    head = LOSSES.load(name)(3, 3, **values).double()
    with torch.no_grad():
        if head.weight is not None and head.weight.ndim == 2:
            head.weight.copy_(torch.from_numpy(W))
        if hasattr(head, "bias"):
            head.bias.copy_(torch.from_numpy(B))
    return head


def falling(theta: float, m: int) -> float:
    """psi of Liu 2017: the interval looked up, as in the text."""
    k = next(k for k in range(m) if k * math.pi / m <= theta <= (k + 1) * math.pi / m + 1e-12)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def identification() -> float:
    found = []
    for x, y in zip(X, Y, strict=True):
        logits = [float(W[j] @ x + B[j]) for j in range(3)]
        found.append(negative_log(logits[y], [logits[j] for j in range(3) if j != y]))
    return float(np.mean(found))


def test_cosface_worked_out_on_paper():
    head = LOSSES.load("cosface")(2, 3, s=2.0, m=0.1).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0]]))
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)  # cosines 0.6, 0.8, -0.6
    expected = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(1.6) + math.exp(-1.2)))
    assert head(x, torch.tensor([0])).item() == pytest.approx(expected, abs=1e-12)
    assert head.scores(x)[0].tolist() == pytest.approx([1.2, 1.6, -1.2])


def test_cosface_at_right_angles():
    head = LOSSES.load("cosface")(4, 3).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(3, 4))
    x = torch.tensor([[0.0, 0.0, 0.0, 7.0]], dtype=torch.float64)
    assert head(x, torch.tensor([1])).item() == pytest.approx(math.log(1 + 2 * math.exp(22.4)), abs=1e-9)


def test_softmax():
    assert computed("softmax") == pytest.approx(identification(), rel=1e-12)


def test_nsl():
    assert computed("nsl", s=5.0) == pytest.approx(mean_over_crops(lambda t, x: math.cos(t), 5.0), rel=1e-12)


def test_cosface():
    expected = mean_over_crops(lambda t, x: math.cos(t) - 0.35, 5.0)
    assert computed("cosface", s=5.0, m=0.35) == pytest.approx(expected, rel=1e-12)


def test_cosface_unnormalised():
    found = []
    for x, y in zip(X, Y, strict=True):
        length = math.sqrt(float(x @ x))
        others = [length * math.cos(angle(x, W[j])) for j in range(3) if j != y]
        found.append(negative_log(length * (math.cos(angle(x, W[y])) - 0.35), others))
    assert computed("cosface-unnormalised", m=0.35) == pytest.approx(float(np.mean(found)), rel=1e-12)


def test_cosface_unnormalised_of_equally_long_features_is_cosface():
    x = torch.from_numpy(5 * X / np.linalg.norm(X, axis=1, keepdims=True))
    one, other = head_of("cosface-unnormalised", m=0.2), head_of("cosface", s=5.0, m=0.2)
    assert one(x, torch.from_numpy(Y)).item() == pytest.approx(other(x, torch.from_numpy(Y)).item(), rel=1e-12)


def test_arcface_with_its_continuation_beyond_pi():
    def target(theta: float, x: Array) -> float:
        return math.cos(theta + 0.5) if theta < math.pi - 0.5 else math.cos(theta) - 0.5 * math.sin(0.5)

    assert max(angle(x, W[y]) for x, y in zip(X, Y, strict=True)) > math.pi - 0.5
    assert computed("arcface", s=5.0, m=0.5) == pytest.approx(mean_over_crops(target, 5.0), rel=1e-9)


def test_combined_with_its_continuation_beyond_pi():
    def target(theta: float, x: Array) -> float:
        turned = 1.1 * theta + 0.3
        return (math.cos(turned) if turned < math.pi else -math.cos(turned) - 2) - 0.2

    assert computed("combined", s=5.0, m1=1.1, m2=0.3, m3=0.2) == pytest.approx(mean_over_crops(target, 5.0), rel=1e-9)


@pytest.mark.parametrize("m", (1, 2, 3, 4))
def test_sphereface_norm_without_lambda_is_combined_with_a_whole_factor(m: int):
    free = {"lambda_min": 0.0, "lambda_max": 0.0}
    expected = mean_over_crops(lambda t, x: falling(t, m), 5.0)
    assert computed("sphereface-norm", s=5.0, m=m, **free) == pytest.approx(expected, rel=1e-9)
    assert computed("combined", s=5.0, m1=m, m2=0.0, m3=0.0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ("sphereface", "sphereface-norm", "l-softmax"))
def test_multiplied_angles_as_lambda_anneals(name: str):
    """Three steps: lambda 10 (1 + 0.5 n)^-2 of n = 1, 2, 3, not below 2."""
    values = {"s": 5.0} if name == "sphereface-norm" else {}
    head = head_of(name, m=3, lambda_min=2.0, lambda_max=10.0, gamma=0.5, power=2.0, **values)
    for n in (1, 2, 3):
        lam = max(2.0, 10.0 * (1 + 0.5 * n) ** -2)
        found = []
        for x, y in zip(X, Y, strict=True):
            length = 5.0 if name == "sphereface-norm" else float(np.linalg.norm(x))
            scale = [length * (float(np.linalg.norm(w)) if name == "l-softmax" else 1.0) for w in W]
            theta = angle(x, W[y])
            target = scale[y] * (lam * math.cos(theta) + falling(theta, 3)) / (1 + lam)
            others = [scale[j] * math.cos(angle(x, W[j])) for j in range(3) if j != y]
            found.append(negative_log(target, others))
        assert head(torch.from_numpy(X), torch.from_numpy(Y)).item() == pytest.approx(float(np.mean(found)), rel=1e-9)
        assert head.measures() == {"lambda": pytest.approx(lam)}


def test_the_published_lambda_of_sphereface():
    """1000 / (1 + 0.12 n), 5 at last: from n = 1659 on."""
    head = head_of("sphereface").eval()
    for n, expected in ((1, 1000 / 1.12), (100, 1000 / 13), (1658, 1000 / 199.96), (1659, 5.0), (28000, 5.0)):
        head.annealing.iteration.fill_(n)
        assert head.measures()["lambda"] == pytest.approx(expected, rel=1e-6)


def test_subcenter_arcface_takes_the_nearest_centre():
    head = LOSSES.load("subcenter-arcface")(3, 3, s=5.0, m=0.5, k=2).double()
    second = np.array([[0.0, 1.0, 1.0], [1.0, 0.2, -1.0], [3.0, -1.0, 0.0]])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.stack([W, second], axis=1)))
    found = []
    for x, y in zip(X, Y, strict=True):
        theta = [min(angle(x, W[j]), angle(x, second[j])) for j in range(3)]
        assert theta[y] < math.pi - 0.5
        others = [5.0 * math.cos(theta[j]) for j in range(3) if j != y]
        found.append(negative_log(5.0 * math.cos(theta[y] + 0.5), others))
    assert head(torch.from_numpy(X), torch.from_numpy(Y)).item() == pytest.approx(float(np.mean(found)), rel=1e-12)


def test_curricularface_over_two_steps():
    head, t = head_of("curricularface", s=5.0, m=0.5, alpha=0.9), 0.0
    seen = {"easy": 0, "hard": 0}
    for _ in range(2):
        theta = [[angle(x, w) for w in W] for x in X]
        t = 0.9 * t + 0.1 * float(np.mean([math.cos(theta[i][y]) for i, y in enumerate(Y)]))
        found = []
        for i, y in enumerate(Y):
            own = theta[i][y]
            target = math.cos(own + 0.5) if own < math.pi - 0.5 else math.cos(own) - 0.5 * math.sin(0.5)
            others = []
            for j in range(3):
                if j != y:
                    cos = math.cos(theta[i][j])
                    seen["easy" if target >= cos else "hard"] += 1
                    others.append(5.0 * (cos if target >= cos else cos * (t + cos)))
            found.append(negative_log(5.0 * target, others))
        assert head(torch.from_numpy(X), torch.from_numpy(Y)).item() == pytest.approx(float(np.mean(found)), rel=1e-9)
        assert head.measures()["t"] == pytest.approx(t)
    assert all(seen.values())


def test_magface_with_lengths_below_in_and_above_its_range():
    values = {"l_a": 2.0, "u_a": 8.0, "l_m": 0.3, "u_m": 0.6, "lambda_g": 7.0}
    held = [max(2.0, min(8.0, float(np.linalg.norm(x)))) for x in X]
    assert 2.0 in held and 8.0 in held and any(2 < a < 8 for a in held)

    def target(theta: float, x: Array) -> float:
        a = max(2.0, min(8.0, float(np.linalg.norm(x))))
        m = (0.6 - 0.3) / (8 - 2) * (a - 2) + 0.3
        return math.cos(theta + m) if theta < math.pi - m else math.cos(theta) - m * math.sin(m)

    regulariser = float(np.mean([1 / a + a / 64 for a in held]))
    expected = mean_over_crops(target, 5.0) + 7.0 * regulariser
    assert computed("magface", s=5.0, **values) == pytest.approx(expected, rel=1e-9)


def test_adaface_over_two_steps():
    head, mu, sigma = head_of("adaface", s=5.0, m=0.4, h=0.333, alpha=0.6), 20.0, 100.0
    lengths = [float(np.linalg.norm(x)) for x in X]
    for _ in range(2):
        mu = 0.6 * mu + 0.4 * float(np.mean(lengths))
        sigma = 0.6 * sigma + 0.4 * float(np.std(lengths, ddof=1))
        margins = []

        def target(
            theta: float, x: Array, mu: float = mu, sigma: float = sigma, margins: list[float] = margins
        ) -> float:
            z = max(-1.0, min(1.0, 0.333 * (float(np.linalg.norm(x)) - mu) / (sigma + 1e-3)))
            margins.append(z)
            turned = max(theta - 0.4 * z, 0.0)
            return (math.cos(turned) if turned < math.pi else -math.cos(turned) - 2) - (0.4 * z + 0.4)

        expected = mean_over_crops(target, 5.0)
        assert len(set(margins)) == len(X)
        assert head(torch.from_numpy(X), torch.from_numpy(Y)).item() == pytest.approx(expected, rel=1e-6)
        assert head.measures() == {"length_mean": pytest.approx(mu), "length_deviation": pytest.approx(sigma)}


def test_elasticface_without_spread_is_cosface_and_with_it_draws_from_its_normal_distribution():
    assert computed("elasticface", s=5.0, m=0.35, sigma=0.0) == pytest.approx(computed("cosface", s=5.0, m=0.35))
    head = LOSSES.load("elasticface")(2, 2, s=1.0, m=0.35, sigma=0.05).double()
    drawn = []
    for _ in range(20):
        cos = torch.zeros(500, 2, dtype=torch.float64)
        logits = head.margined(cos, cos[:, 0], torch.zeros(500, dtype=torch.int64), torch.ones(500))
        assert (logits[:, 1] == 0).all()
        drawn.append(-logits[:, 0].numpy())
    margins = np.concatenate(drawn)
    assert len(np.unique(margins)) > 9_990  # each crop and each step its own; two may be equal in float32
    assert margins.mean() == pytest.approx(0.35, abs=4 * 0.05 / 100)
    assert margins.std() == pytest.approx(0.05, rel=0.04)


def test_center_and_its_update_over_two_steps():
    head = head_of("center", lambda_c=0.3, alpha=0.5)
    centres = np.array([[1.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    head.centres.copy_(torch.from_numpy(centres))
    for _ in range(2):
        apart = float(np.mean([np.sum((x - centres[y]) ** 2) for x, y in zip(X, Y, strict=True)]))
        expected = identification() + 0.3 / 2 * apart
        assert head(torch.from_numpy(X), torch.from_numpy(Y)).item() == pytest.approx(expected, rel=1e-12)
        for j in range(3):
            own = X[j == Y]
            centres[j] -= 0.5 * sum(centres[j] - x for x in own) / (1 + len(own))
        assert np.allclose(head.centres.numpy(), centres, atol=1e-12)


def test_contrastive():
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    same, different = [], []
    for i in range(4):
        for j in range(i + 1, 4):
            d = float(np.linalg.norm(unit[i] - unit[j]))
            if Y[i] == Y[j]:
                same.append(d**2 / 2)
            else:
                different.append(max(0.0, 1.2 - d) ** 2 / 2)
    assert same and any(different) and not all(different)
    expected = identification() + 0.7 * (float(np.mean(same)) + float(np.mean(different)))
    assert computed("contrastive", m=1.2, lambda_v=0.7) == pytest.approx(expected, rel=1e-12)


def test_triplet():
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(14, 3)), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    found, without = [], 0
    for a in range(14):
        for p in range(14):
            if a == p or y[a] != y[p]:
                continue
            positive = float(np.sum((unit[a] - unit[p]) ** 2))
            negatives = sorted(float(np.sum((unit[a] - unit[n]) ** 2)) for n in range(14) if y[n] != y[a])
            semi_hard = [n for n in negatives if n > positive]
            without += not semi_hard
            found.append(max(0.0, positive - (semi_hard[0] if semi_hard else negatives[-1]) + 0.2))
    assert without and 0.0 in found
    head = LOSSES.load("triplet")(3, 5, alpha=0.2)
    assert head(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(float(np.mean(found)), rel=1e-12)


def test_triplet_of_nothing_to_compare():
    head = LOSSES.load("triplet")(3, 4)
    for labels in ([0, 1, 2, 3], [1, 1, 1, 1]):
        assert head(torch.from_numpy(X), torch.tensor(labels)).item() == 0.0


@pytest.mark.parametrize("m", (1, 2, 3, 4, 7))
def test_psi_falls_over_the_whole_half_circle(m: int):
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    values = psi_of_multiple(theta.cos(), m)
    assert (values.diff() < 1e-12).all()
    assert values[0].item() == pytest.approx(1.0) and values[-1].item() == pytest.approx(1.0 - 2 * m)
    expected = [falling(float(t), m) for t in theta]
    assert np.allclose(values.numpy(), expected, atol=1e-9)
    assert np.allclose(psi(m * theta).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("m", (0.0, 0.2, 0.5, 1.0))
def test_a_wider_angle_is_a_smaller_cosine_over_the_whole_half_circle(m: float):
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    values = cos_of_sum(theta.cos(), m)
    assert (values.diff() < 0).all()
    turned = theta + m < math.pi - 1e-6
    assert torch.allclose(values[turned], (theta + m).cos()[turned], atol=1e-7)


def test_angles_are_exact_at_the_ends():
    cos = torch.tensor([1.0, -1.0, 0.5, 1 - 1e-9], dtype=torch.float64, requires_grad=True)
    found = angles(cos)
    assert found.tolist() == pytest.approx([0.0, math.pi, math.pi / 3, math.acos(1 - 1e-9)], abs=1e-15)
    found.sum().backward()
    assert cos.grad[0] == 0 and cos.grad[1] == 0
    assert cos.grad[2].item() == pytest.approx(-1 / math.sin(math.pi / 3))
