"""A classifier in uneven parts gives what it gives as a whole: loss, gradients, and what it remembers."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses import LOSSES
from cosface_cli.losses.build_loss import build
from cosface_cli.losses.normalised import lengths

SHARDED = [name for name in LOSSES.names if LOSSES.load(name).SHARDABLE]
C, D = 11, 6
BOUNDS = (0, 5, 9, 11)
LABELS = torch.tensor([0, 4, 5, 8, 9, 10, 10, 2])


def embeddings(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return 4 * torch.randn(len(LABELS), D, generator=generator, dtype=torch.float64)


def parts_of(whole: nn.Module, name: str) -> list[nn.Module]:
    """Heads with the rows of the whole between two bounds each, and its buffers."""
    parts = []
    for begin, end in pairwise(BOUNDS):
        part = LOSSES.load(name)(D, end - begin).double()
        own = {key: value[begin:end] for key, value in whole.named_parameters()}
        part.load_state_dict({**whole.state_dict(), **own})
        parts.append(part)
    return parts


def composed(parts: list[nn.Module], x: Tensor) -> Tensor:
    """What a process group does: own similarities from wherever they lie, one softmax over all columns."""
    found, columns = [part.similarities(x) for part in parts], []
    for begin, end in pairwise(BOUNDS):
        here = (begin <= LABELS) & (end > LABELS)
        columns.append(torch.where(here, LABELS - begin, -1))
    own_here = [
        torch.where(column >= 0, similarities.gather(1, column.clamp_min(0)[:, None])[:, 0], 0.0)
        for similarities, column in zip(found, columns, strict=True)
    ]
    total = sum(own.detach() for own in own_here)
    logits = []
    for part, similarities, own, column in zip(parts, found, own_here, columns, strict=True):
        known = torch.where(column >= 0, own, total)  # a gradient only where it lies here
        logits.append(part.margined(similarities, known, column, lengths(x)))
    return F.cross_entropy(torch.cat(logits, dim=1), LABELS) + parts[0].penalty(x, LABELS)


@pytest.mark.parametrize("name", SHARDED)
def test_only_what_has_a_row_an_identity_is_cut(name: str):
    whole = build(name, D, C, {}, seed=0)
    assert {len(parameter) for parameter in whole.parameters()} == {C}
    assert all(buffer.dim() == 0 for buffer in whole.buffers())


def test_which_losses_can_be_sharded():
    assert set(LOSSES.names) - set(SHARDED) == {"l-softmax", "center", "contrastive", "triplet"}


@pytest.mark.parametrize("name", SHARDED)
def test_parts_equal_the_whole_over_three_steps(name: str):
    whole = build(name, D, C, {}, seed=1).double()
    parts = parts_of(whole, name)
    for step in range(3):
        one, other = embeddings(step).requires_grad_(), embeddings(step).requires_grad_()
        expected, found = whole(one, LABELS), composed(parts, other)
        expected.backward()
        found.backward()
        assert found.item() == pytest.approx(expected.item(), rel=1e-12)
        assert torch.allclose(one.grad, other.grad, atol=1e-12)
    for key, parameter in whole.named_parameters():
        gradients = torch.cat([dict(part.named_parameters())[key].grad for part in parts])
        assert torch.allclose(parameter.grad, gradients, atol=1e-12)
    for part in parts:
        assert part.measures() == parts[0].measures() == pytest.approx(whole.measures(), rel=1e-12)


@pytest.mark.parametrize("name", SHARDED)
def test_chosen_rows_are_columns_of_the_whole(name: str):
    head = build(name, D, C, {}, seed=1)
    rows = torch.tensor([9, 2, 3])
    x = embeddings(0).float()
    assert torch.allclose(head.similarities(x, rows), head.similarities(x)[:, rows], atol=1e-6)


@pytest.mark.parametrize("name", SHARDED)
def test_labels_elsewhere_change_nothing_here(name: str):
    """A head without any of the batch's identities gives margin-free logits of its columns, and a gradient to them."""
    head = copy.deepcopy(build(name, D, C, {}, seed=1)).eval()
    x = embeddings(0).float()
    nowhere = torch.full_like(LABELS, -1)
    logits = head.margined(head.similarities(x), torch.ones(len(x)), nowhere, lengths(x))
    assert torch.allclose(logits, head.scores(x), atol=1e-4)
    logits.sum().backward()
    assert head.weight.grad.abs().sum() > 0
