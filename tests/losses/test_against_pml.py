"""The losses against pytorch-metric-learning, whose names and units differ: degrees, temperature, weights (D, C)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.arcface import ArcFace
from cosface_cli.losses.contrastive import Contrastive
from cosface_cli.losses.cosface import CosFace
from cosface_cli.losses.l_softmax import LSoftmax
from cosface_cli.losses.nsl import NSL
from cosface_cli.losses.sphereface import SphereFace
from cosface_cli.losses.subcenter_arcface import SubcenterArcFace
from cosface_cli.losses.triplet import Triplet

pml = pytest.importorskip("pytorch_metric_learning", reason="pytorch-metric-learning is not installed")
from pytorch_metric_learning import distances, losses, reducers  # noqa: E402

C, D, B = 7, 6, 40
THEIR_WARNING = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
FREE = {"lambda_min": 0.0, "lambda_max": 0.0}


def compare(ours: nn.Module, theirs: nn.Module, tolerance: float = 1e-10) -> None:
    """Loss, and gradients of embeddings and weights, at double precision."""
    torch.manual_seed(2)
    x, labels = 3 * torch.randn(B, D, dtype=torch.float64), torch.arange(B) % C
    x[:C] = 0.3 * x[:C] + 2 * ours.weight.detach().double().view(C, -1, D)[labels[:C], 0]  # some are near
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        theirs.W.copy_(ours.weight.reshape(-1, D).T)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    mine, yours = ours(one, labels), theirs(other, labels)
    mine.backward()
    yours.backward()
    assert mine.item() == pytest.approx(yours.item(), rel=tolerance)
    assert torch.allclose(one.grad, other.grad, atol=1e-8)
    assert torch.allclose(ours.weight.grad.reshape(-1, D), theirs.W.grad.T, atol=1e-8)


def test_cosface():
    compare(CosFace(D, C, s=20.0, m=0.3), losses.CosFaceLoss(C, D, margin=0.3, scale=20.0))


def test_arcface():
    compare(ArcFace(D, C, s=20.0, m=0.4), losses.ArcFaceLoss(C, D, margin=math.degrees(0.4), scale=20.0))


def test_nsl():
    ours, theirs = NSL(D, C, s=20.0).double(), losses.NormalizedSoftmaxLoss(C, D, temperature=1 / 20.0).double()
    compare(ours, theirs)


@THEIR_WARNING
@pytest.mark.parametrize("m", (2, 3, 4))
def test_sphereface(m: int):
    compare(SphereFace(D, C, m=m, **FREE), losses.SphereFaceLoss(C, D, margin=m, scale=1))


@THEIR_WARNING
@pytest.mark.parametrize("m", (2, 3, 4))
def test_l_softmax(m: int):
    compare(LSoftmax(D, C, m=m, **FREE), losses.LargeMarginSoftmaxLoss(C, D, margin=m, scale=1))


def test_subcenter_arcface():
    theirs = losses.SubCenterArcFaceLoss(
        num_classes=C, embedding_size=D, margin=math.degrees(0.4), scale=20.0, sub_centers=3
    )
    compare(SubcenterArcFace(D, C, s=20.0, m=0.4, k=3), theirs)


def embeddings() -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    labels = torch.arange(24) % 5
    return torch.randn(5, D, dtype=torch.float64)[labels] + torch.randn(24, D, dtype=torch.float64), labels


def test_contrastive():
    x, labels = embeddings()
    head = Contrastive(D, 5, m=1.1, lambda_v=1.0).double()
    every = {"pos_loss": reducers.DoNothingReducer(), "neg_loss": reducers.DoNothingReducer()}
    each = losses.ContrastiveLoss(
        pos_margin=0, neg_margin=1.1, distance=distances.LpDistance(p=2), reducer=reducers.MultipleReducers(every)
    )
    parts = each.compute_loss(x, labels, None, x, labels)
    near, apart = parts["pos_loss"]["losses"], parts["neg_loss"]["losses"]  # d, max(0, m - d), pair by pair
    expected = (near.square().mean() + apart.square().mean()) / 2
    assert head.penalty(x, labels).item() == pytest.approx(expected.item(), rel=1e-10)


def test_triplet():
    """Their loss over the triplets that ours is to choose."""
    x, labels = embeddings()
    squared = torch.cdist(F.normalize(x), F.normalize(x)).square()
    chosen = []
    for a in range(24):
        for p in range(24):
            if a != p and labels[a] == labels[p]:
                negatives = [n for n in range(24) if labels[n] != labels[a]]
                beyond = [n for n in negatives if squared[a, n] > squared[a, p]]
                best = (
                    min(beyond, key=lambda n: squared[a, n]) if beyond else max(negatives, key=lambda n: squared[a, n])
                )
                chosen.append((a, p, best))
    theirs = losses.TripletMarginLoss(
        margin=0.2, distance=distances.LpDistance(power=2), reducer=reducers.MeanReducer()
    )
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    mine = Triplet(D, 5, alpha=0.2)(one, labels)
    yours = theirs(other, labels, tuple(torch.tensor(part) for part in zip(*chosen, strict=True)))
    mine.backward()
    yours.backward()
    assert mine.item() == pytest.approx(yours.item(), rel=1e-10)
    assert torch.allclose(one.grad, other.grad, atol=1e-10)
