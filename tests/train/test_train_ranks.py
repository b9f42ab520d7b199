"""What processes say to each other, in two that share 7 crops and 5 identities unevenly: the same as in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cosface_cli.losses import LOSSES
from cosface_cli.losses.build_loss import build
from cosface_cli.outcomes import ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.batch_norm import share_statistics
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import run_in_processes
from cosface_cli.train.heads.partial_fc import PartialFC, cross_entropy
from cosface_cli.train.heads.whole import WholeHead
from tests.train.ranked import once

pytestmark = pytest.mark.slow

SHARDED = [name for name in LOSSES.names if LOSSES.load(name).SHARDABLE]
C, D = 5, 6
LABELS = torch.tensor([0, 4, 2, 3, 1, 4, 2])
CPU = torch.device("cpu")
TWO = TrainConfig(processes=2, device="cpu")


@given(st.integers(1, 9), st.integers(0, 60), st.integers(1, 4))
def test_parts_are_the_whole_in_its_order(count: int, size: int, slices: int):
    everyone = [Ranks(rank, count) for rank in range(count)]
    assert [row for ranks in everyone for row in ranks.local_range(size)] == list(range(size))
    assert max(len(r.local_range(size)) for r in everyone) - min(len(r.local_range(size)) for r in everyone) <= 1
    parts = [ranks.local_slices(size, slices) for ranks in everyone]
    together = [np.concatenate([theirs[place] for theirs in parts]) for place in range(slices)]
    assert np.concatenate(together).tolist() == list(range(size))
    assert len({len(some) for some in together}) <= 2


def test_alone_each_says_it_to_itself():
    alone, rows = Ranks(), torch.arange(6.0).view(3, 2)
    assert alone.broadcast_object("x") == "x" and alone.all_true(False) is False and alone.broadcast_bool(True) is True
    assert alone.gather_list((1, 2)) == (1, 2)
    for said in (
        alone.all_reduce_sum(rows),
        alone.all_reduce_max(rows),
        alone.all_gather(rows)[0],
        alone.all_gather_rows(rows),
        alone.gather_rows(rows, 3),
    ):
        assert torch.equal(said, rows)
    assert dict(alone.broadcast_arrays({"a": np.ones(2)}))["a"].tolist() == [1.0, 1.0]


def vectors(rows: int = 7) -> Tensor:
    return 4 * torch.randn(rows, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def pictures() -> Tensor:
    return torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def part_of(ranks: Ranks, value: Tensor) -> Tensor:
    return value[torch.from_numpy(ranks.local_slices(len(value), 1)[0])]


def said(ranks: Ranks) -> dict[str, Any]:
    """Each kind of word, here as seen by the first."""
    mine = torch.tensor([1.0, 10.0]) * (ranks.rank + 1)
    x = part_of(ranks, vectors()).requires_grad_()
    (ranks.all_gather_rows(x) * torch.arange(7)[:, None]).sum().backward()
    return {
        "told": ranks.broadcast_object(f"by {ranks.rank}"),
        "every": (ranks.all_true(True), ranks.all_true(ranks.is_main)),
        "decided": (ranks.broadcast_bool(ranks.is_main), ranks.broadcast_bool(not ranks.is_main)),
        "lists": ranks.gather_list((ranks.rank, "a")[: 2 - ranks.rank]),
        "sum": ranks.all_reduce_sum(mine),
        "largest": ranks.all_reduce_max(-mine),
        "stacked": ranks.all_gather(mine),
        "joined": ranks.all_gather_rows(x.detach()),
        "joined, gradient": ranks.all_gather_rows(x.grad),
        "whole": ranks.gather_rows(vectors(5)[ranks.local_range(5).start : ranks.local_range(5).stop], 5),
        "shared": ranks.gather_list(
            tuple(a.tolist() for _, a in ranks.broadcast_arrays({"a": np.arange(3)} if ranks.is_main else {}))
        ),
    }


def normed(ranks: Ranks | None, kind: str) -> dict[str, Tensor]:
    """A batch norm's answer to two batches, its gradients and statistics; ranks: None for torch's own, in whole."""
    x = pictures()
    plain: nn.Module = nn.BatchNorm2d(3)
    if kind == "vectors, no weights":
        x, plain = vectors(), nn.BatchNorm1d(D, affine=False)
    elif kind == "mean of all batches":
        plain = nn.BatchNorm2d(3, momentum=None)
    network = nn.Sequential(plain.double())
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    if ranks:
        share_statistics(network, ranks)
        assert type(network[0]) is not type(plain) and list(network.state_dict()) == [
            f"0.{n}" for n in plain.state_dict()
        ]
        x = part_of(ranks, x)
    x.requires_grad_()
    network(x.square())
    y = network(x)
    places = ranks.local_slices(7, 1)[0] if ranks else np.arange(7)
    (y * (1 + torch.from_numpy(places)).view(-1, *[1] * (y.dim() - 1)) ** 2).sum().backward()
    assert x.grad is not None
    found = {"y": y.detach(), "to x": x.grad}
    sums = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    if ranks:
        found = {name: ranks.all_gather_rows(value) for name, value in found.items()}
        sums = {name: ranks.all_reduce_sum(value) for name, value in sums.items()}
    network.eval()
    return {
        **found,
        **sums,
        **dict(network.named_buffers()),
        "in evaluation": network(pictures() if x.dim() == 4 else vectors()),
    }


NORMS = ("pictures", "vectors, no weights", "mean of all batches")


def whole_answer(name: str) -> dict[str, Tensor]:
    """Loss, gradients and buffers of a loss over all crops and classes, by the loss alone."""
    loss: Any = build(name, D, C, {}, seed=1).double()
    x = vectors().requires_grad_()
    found = loss(x, LABELS)
    found.backward()
    right = (loss.scores(x).argmax(dim=1) == LABELS).sum()
    grads = {f"to {key}": p.grad for key, p in loss.named_parameters()}
    return {
        "loss": found.detach(), "to x": x.grad, **grads, **dict(loss.named_buffers()),
        "right": right.double(), "cosine": loss.target_cosines(x, LABELS).sum().detach(),
    }  # fmt: skip


def sharded_answer(ranks: Ranks, name: str) -> dict[str, Tensor]:
    """The same of a PartialFC, or of a loss that cannot be cut, put together from everybody's part."""

    def built(count: int) -> nn.Module:
        return build(name, D, count, {}, seed=1).double()

    head: Any = WholeHead(built(C), C, ranks, CPU)
    if LOSSES.load(name).SHARDABLE:
        head = PartialFC(built, C, ranks, CPU)
    x = part_of(ranks, vectors()).requires_grad_()
    answer = head(x, part_of(ranks, LABELS))
    answer.loss.backward()
    head.sync_gradients()
    grads = {f"to {key}": head.gather_rows(p.grad) for key, p in head.trained.named_parameters()}
    assert x.grad is not None and answer.count == 7
    return {
        "loss": answer.loss.detach(), "to x": ranks.all_gather_rows(x.grad), **grads, **dict(head.loss.named_buffers()),
        "right": answer.right.double(), "cosine": answer.cosine,
    }  # fmt: skip


def sampled_steps(ranks: Ranks, identities: int, share: float, labels: Tensor) -> dict[str, Tensor]:
    """Three steps of SGD with a share of the classes: losses, and weights and momentum of all classes at the end."""
    head = PartialFC(
        lambda count: build("cosface", D, count, {}, seed=1).double(), identities, ranks, CPU, share, seed=5
    )
    optimizer = torch.optim.SGD(
        head.trained.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True
    )
    x, mine = part_of(ranks, vectors(len(labels))), part_of(ranks, labels)
    losses = []
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        head.begin_step(optimizer, mine, step)
        answer = head(x, mine)
        answer.loss.backward()
        optimizer.step()
        head.end_step(optimizer)
        losses.append(answer.loss.detach())
    momentum = head.optimizer_state(optimizer)["weight"]["momentum_buffer"]
    return {
        "losses": torch.stack(losses),
        "weight": head.gather_rows(head.loss.weight),
        "momentum": head.gather_rows(momentum),
    }  # type: ignore[arg-type]


FEW = torch.tensor([0, 3, 3, 0])  # of 40 identities, which all lie in the first process


def as_arrays(values: Any) -> Any:
    """Tensors as what can be sent."""
    if isinstance(values, dict):
        return {name: as_arrays(value) for name, value in values.items()}
    return values.detach().numpy() if isinstance(values, Tensor) else values


def assert_same(found: dict[str, Any], whole: dict[str, Tensor]) -> None:
    assert found.keys() == whole.keys()
    for name, value in whole.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=name)


def everything(config: TrainConfig, ranks: Ranks, emit: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    found = {
        "said": said(ranks),
        **{kind: normed(ranks, kind) for kind in NORMS},
        **{name: sharded_answer(ranks, name) for name in (*SHARDED, "center")},
        "sampled": sampled_steps(ranks, C, 0.6, LABELS[[0, 1, 1, 0, 0]]),
        "elsewhere": sampled_steps(ranks, 40, 0.05, FEW),
        "steep": steep(ranks),
    }
    return {name: as_arrays(values) for name, values in found.items()}


def steep(ranks: Ranks) -> Tensor:
    """Logits whose exponentials no float32 holds."""
    logits = torch.tensor([[900.0, -900.0, 500.0], [-800.0, 800.0, 800.0]])
    here = logits[:, :1] if ranks.is_main else logits[:, 1:]
    columns = torch.tensor([0, -1] if ranks.is_main else [-1, 1])
    return cross_entropy(here, columns, ranks)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Any]:
    """What two processes found, as the first one has it."""
    result: dict[str, Any] = once(
        "two", lambda folder: run_in_processes(everything, TWO, ignore), tmp_path_factory, worker_id
    )
    return result


def test_words(found: dict[str, Any]):
    heard = found["said"]
    assert heard["told"] == "by 0"
    assert heard["every"] == (True, False) and heard["decided"] == (True, False)
    assert heard["lists"] == (0, "a", 1)
    assert heard["sum"].tolist() == [3.0, 30.0] and heard["largest"].tolist() == [-1.0, -10.0]
    assert heard["stacked"].tolist() == [[1.0, 10.0], [2.0, 20.0]]
    assert np.array_equal(heard["joined"], vectors())
    assert np.array_equal(heard["joined, gradient"], np.outer(np.arange(7), np.ones(D)))
    assert np.array_equal(heard["whole"], vectors(5))
    assert heard["shared"] == ([0, 1, 2], [0, 1, 2])


@pytest.mark.parametrize("kind", NORMS)
def test_batch_norm_over_all_crops(found: dict[str, Any], kind: str):
    """As torch has it for the whole batch: values, gradients, statistics."""
    assert_same(found[kind], normed(None, kind))


@pytest.mark.parametrize("name", [*SHARDED, "center"])
def test_a_loss_over_all_crops_and_classes(found: dict[str, Any], name: str):
    assert_same(found[name], whole_answer(name))


def test_a_share_of_the_classes_is_the_same_in_two(found: dict[str, Any]):
    assert_same(found["sampled"], sampled_steps(Ranks(), C, 0.6, LABELS[[0, 1, 1, 0, 0]]))


def test_a_process_without_a_class_in_the_step(found: dict[str, Any]):
    assert_same(found["elsewhere"], sampled_steps(Ranks(), 40, 0.05, FEW))
    first: Any = build("cosface", D, 40, {}, seed=1).double()
    moved = (found["elsewhere"]["weight"] != first.weight.detach().numpy()).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [0, 3]


def test_cross_entropy_takes_the_largest_out(found: dict[str, Any]):
    """ln(1 + e^-400) = 0 and ln 2, by hand."""
    assert float(found["steep"]) == pytest.approx(np.log(2) / 2, abs=1e-6)
