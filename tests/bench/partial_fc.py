"""Memory and time of a classifier of a million identities: all of it in a step, or a share (Partial FC).

usage: python -m tests.bench.partial_fc [--identities 1000000] [--size 512] [--batch 64] [--share S] [--processes N]

CosFace's head as a training has it, after SGD's steps with momentum on random embeddings. For each process, in MB:
weights and momentum of the identities that lie there; of a step, what it takes of the classes that are drawn (weights,
momentum, gradient) and their logits (B, C'); then the measured peak of the process above where it began, while the head
is made and in the steps. Each line is run in processes of its own, on one thread each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import run_in_processes
from cosface_cli.train.heads.build import build_head
from cosface_cli.train.heads.whole import optimizer_state_of
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.step.parameter_groups import optimizer_of, set_lr

STEPS = 4
MB = 1e6


class Steps:
    """Some steps of a head alone; the rows of all processes."""

    def __init__(self, identities: int, batch: int) -> None:
        self.identities, self.batch = identities, batch

    def __call__(self, config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> tuple[dict[str, Any], ...]:
        torch.set_num_threads(1)
        settings = resolve(config)
        before = peak(anew=True)
        head = build_head(settings, self.identities, torch.device("cpu"), ranks)
        optimizer = optimizer_of(settings, nn.Identity(), head.trained)
        set_lr(optimizer, 0.1)
        made = peak() - before
        peak(anew=True)
        draw = torch.Generator().manual_seed(0)
        seconds = []
        for step in range(STEPS):
            begin = time.perf_counter()
            x = torch.randn(self.batch, settings.embedding_size, generator=draw)[ranks.local_slices(self.batch, 1)[0]]
            labels = torch.randint(self.identities, (self.batch,), generator=draw)[ranks.local_slices(self.batch, 1)[0]]
            optimizer.zero_grad(set_to_none=True)
            head.begin_step(optimizer, labels, step)
            head(x.requires_grad_(), labels).loss.backward()
            head.sync_gradients()
            optimizer.step()
            head.end_step(optimizer)
            seconds.append(time.perf_counter() - begin)
        rows = next(head.trained.parameters())  # (C', D)
        gradient = rows.grad
        drawn = size(rows) + size(optimizer_state_of(head.trained, optimizer)["weight"]["momentum_buffer"])
        is_share = rows is not head.loss.weight
        row = {
            "weights": size(head.loss.weight),
            "momentum": size(head.optimizer_state(optimizer)["weight"]["momentum_buffer"]),
            "of a step": (drawn if is_share else 0) + size(gradient),
            "logits": self.batch * len(rows) * 4,
            "made": made,
            "in steps": peak() - before,
            "seconds": statistics.median(seconds),
        }
        return ranks.gather_list((row,))


def size(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def peak(anew: bool = False) -> int:
    """The most memory of this process so far, bytes of RSS; counted anew from here if told so."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("--identities", type=int, default=1_000_000)
    words.add_argument("--size", type=int, default=512)
    words.add_argument("--batch", type=int, default=64)
    words.add_argument("--share", type=float, nargs="+", default=[1.0, 0.1])
    words.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    words.add_argument("--one", action="store_true", help="this line alone, as JSON")
    given = words.parse_args()
    if given.one:
        config = TrainConfig(
            embedding_size=given.size, sample_rate=given.share[0], processes=given.processes[0], device="cpu"
        )
        print(json.dumps(run_in_processes(Steps(given.identities, given.batch), config, ignore)))
        return
    print(f"{given.identities:,} identities, {given.size} numbers each, batch {given.batch}; MB of each process")
    head = f"{'share':>6}{'processes':>11}{'weights':>9}{'momentum':>10}{'of a step':>11}{'logits':>8}{'sum':>7}"
    print(head + f"{'peak, made':>13}{'in steps':>10}{'s a step':>10}")
    for share in given.share:
        for processes in given.processes:
            command = [sys.executable, "-m", "tests.bench.partial_fc", "--one", "--identities", str(given.identities)]
            command += ["--size", str(given.size), "--batch", str(given.batch), "--share", str(share)]
            done = subprocess.run([*command, "--processes", str(processes)], capture_output=True, text=True, check=True)
            for row in json.loads(done.stdout):
                counted = [row[name] / MB for name in ("weights", "momentum", "of a step", "logits")]
                sizes = "".join(f"{value:{width}.0f}" for value, width in zip(counted, (9, 10, 11, 8), strict=True))
                measured = f"{row['made'] / MB:13.0f}{row['in steps'] / MB:10.0f}{row['seconds']:10.2f}"
                print(f"{share:6g}{processes:11}{sizes}{sum(counted):7.0f}{measured}", flush=True)


if __name__ == "__main__":
    main()
