"""Memory of a training step: what the preflight counts, and the peak that it comes to.

usage: python -m tests.bench.footprint [--backbones NAME ...] [--batch 32] [--identities 1000]

Each network in a process of its own on one thread, with CosFace's head and SGD with momentum, on drawn crops. counted:
weights, gradients and momentum, and the activations of the batch, as cosface train --dry-run tells them; peak: RSS of
the process in three steps, above what it had before the network was made. The last column is what the largest batch
allows for, footprint._BESIDE.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import torch

from cosface_cli.backbones.build_backbone import declaration
from cosface_cli.maths.geometry import template
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.preflight.footprint import measure
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.step.learner import new_learner
from tests.bench.partial_fc import MB, peak

STEPS = 3


def one(backbone: str, size: int, identities: int) -> tuple[int, int, int]:
    """Bytes: counted whatever the batch, counted of its activations, and the peak."""
    torch.set_num_threads(1)
    settings = resolve(TrainConfig(backbone=backbone, batch=size, device="cpu"))
    shape = template(declaration(backbone).template)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (size, shape.height, shape.width, 3)).astype(np.uint8)
    batch = Batch(images, draw.integers(0, identities, size), ("",) * size)
    before = peak(anew=True)
    learner = new_learner(settings, declaration(backbone), identities, torch.device("cpu"))
    labels = torch.from_numpy(batch.labels)
    for step in range(STEPS):
        learner.optimizer.zero_grad(set_to_none=True)
        learner.head.begin_step(learner.optimizer, labels, step)
        learner.head(learner.forward(batch.images), labels).loss.backward()
        learner.optimizer.step()
        learner.head.end_step(learner.optimizer)
    found = peak() - before
    cost = measure(learner, settings, batch)
    return cost.fixed, size * cost.per_crop, found


def main() -> None:
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("--backbones", nargs="+", default=["mobilefacenet", "sphere20", "sphere64", "iresnet50"])
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--identities", type=int, default=1000)
    words.add_argument("--one", action="store_true", help="the first of them alone, as JSON")
    given = words.parse_args()
    if given.one:
        print(json.dumps(one(given.backbones[0], given.batch, given.identities)))
        return
    print(f"batch {given.batch}, {given.identities:,} identities; MB")
    print(f"{'':14}{'fixed':>8}{'activations':>13}{'peak':>8}{'peak / counted':>16}{'beside fixed':>14}")
    for backbone in given.backbones:
        command = [sys.executable, "-m", "tests.bench.footprint", "--one", "--backbones", backbone]
        command += ["--batch", str(given.batch), "--identities", str(given.identities)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        fixed, activations, most = (value / MB for value in json.loads(done.stdout))
        shares = f"{most / (fixed + activations):16.2f}{(most - fixed) / activations:14.2f}"
        print(f"{backbone:14}{fixed:8.0f}{activations:13.0f}{most:8.0f}{shares}", flush=True)


if __name__ == "__main__":
    main()
