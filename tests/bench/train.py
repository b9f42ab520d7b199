"""Images a second in training: our loop from files, our loop over pixels in memory, and a plain torch loop.

usage: python -m tests.bench.train [CROPS] [--cores 1 2] [--steps 12] [--batch 32] [--classes 10000]
       [--precision fp32]

CROPS: a crop folder whose pictures are trained on (else drawn ones), packed into one train.rec of 10,000 people, as
cosface train reads them. All loops: MobileFaceNet, channels last, CosFace's head, SGD with Nesterov momentum, weight
decay, clipped gradients, every other crop mirrored; each in a process of its own, bound to that many cores. The plain
loop has its pixels in memory and tells nothing; once with torch's PReLU and once with ours, so that what the loop and
what the network brings can be told apart. A figure is batch / the median step, after two steps to warm up; by CPU
seconds on one core, by wall time on more. bf16: by autocast, in all loops.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cosface_cli.engines.runtime.devices import wait_briefly
from tests.bench.measure import timed

WARM = 2
S, M, LR, DECAY, CLIP = 64.0, 0.35, 0.1, 5e-4, 5.0


class Enough(Exception):
    """So many steps are done."""


def pack(folder: Path, crops: Path | None, count: int) -> str:
    """Write train.rec of `count` people with a crop each; gives the crops' template."""
    from cosface_cli.artifacts.crops.manifest import open_crops
    from cosface_cli.artifacts.pictures import encode_jpeg
    from tests.record_files import as_insightface, write_records

    if crops is not None:
        found = open_crops(crops)
        pictures, template = [crop.path.read_bytes() for crop in found[:count]], found[0].template.name
    else:
        draw = np.random.default_rng(0)
        coarse = draw.integers(0, 256, (64, 14, 14, 3)).astype(np.float64)
        fine = np.kron(coarse, np.ones((1, 8, 8, 1))) + draw.normal(0, 8, (64, 112, 112, 3))
        pictures, template = [encode_jpeg(np.clip(face, 0, 255).astype(np.uint8)) for face in fine], "arcface"
    write_records(folder / "train.rec", as_insightface([(n, pictures[n % len(pictures)]) for n in range(count)]))
    return template


def ours(
    folder: Path, template: str, steps: int, batch: int, cores: int, precision: str, in_memory: bool
) -> dict[str, Any]:
    """cosface train as from Python, stopped after so many steps."""
    from cosface_cli.outcomes import Outcome, Progress
    from cosface_cli.train import TrainConfig
    from cosface_cli.train.crops.dataset import CropReader
    from cosface_cli.train.crops.loader import Loader
    from cosface_cli.train.stage import train

    if in_memory:
        pixels = np.random.default_rng(0).integers(0, 256, (8 * batch, 112, 112, 3)).astype(np.uint8)
        CropReader.open = lambda self: lambda task: pixels[task[1] % len(pixels)]  # type: ignore[method-assign]
    clock = time.process_time if cores == 1 else time.perf_counter
    created: list[Loader] = []
    begin = Loader.__init__

    def seen(self: Loader, processes: int = 0) -> None:
        begin(self, processes)
        created.append(self)

    Loader.__init__ = seen  # type: ignore[method-assign]
    at: list[float] = []
    waited: list[float] = []

    def emit(outcome: Outcome) -> None:
        if isinstance(outcome, Progress):
            at.append(clock())
            waited.append(sum(loader.waited for loader in created))
            if len(at) > WARM + steps:
                raise Enough

    config = TrainConfig(
        aligned=folder / "train.rec", template=template, out=folder / f"run{os.getpid()}", backbone="mobilefacenet",
        loss="cosface", s=S, m=M, batch=batch, lr=LR, warmup=1, weight_decay=DECAY, clip=CLIP, epochs=1, augment=(),
        device="cpu", threads=cores, precision=precision,
    )  # fmt: skip
    with contextlib.suppress(Enough):
        train(config, emit)
    return {"steps": np.diff(at[WARM:]).tolist(), "waited": waited[-1] - waited[WARM]}


def plain(steps: int, batch: int, cores: int, precision: str, classes: int, own_prelu: bool) -> dict[str, Any]:
    """The loop as one writes it who knows torch well."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from cosface_cli.backbones.build_backbone import build

    torch.set_num_threads(cores)
    network = build("mobilefacenet", 256, seed=0).to(memory_format=torch.channels_last).train()
    if not own_prelu:
        for module in network.modules():
            if isinstance(module, nn.PReLU):
                module.__class__ = nn.PReLU
    weight = nn.Parameter(torch.randn(classes, 256) / 16)  # (C, D)
    parameters = [*network.parameters(), weight]
    optimizer = torch.optim.SGD(parameters, lr=LR, momentum=0.9, nesterov=True, weight_decay=DECAY, fused=True)
    pixels = torch.randint(0, 256, (8 * batch, 112, 112, 3), dtype=torch.uint8)
    people = torch.randint(0, classes, (len(pixels),))
    clock = time.process_time if cores == 1 else time.perf_counter
    at = []
    for step in range(WARM + steps + 1):
        chosen = torch.randint(0, len(pixels), (batch,))
        x = pixels[chosen].permute(0, 3, 1, 2).float().sub_(127.5).div_(128.0)  # (B, 3, H, W), channels last
        x = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, x.flip(3), x)
        labels = people[chosen]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            embeddings = network(x)  # (B, D)
        embeddings = embeddings.float()
        cos = F.linear(F.normalize(embeddings), F.normalize(weight))  # (B, C)
        cos = cos - M * F.one_hot(labels, classes)
        loss = F.cross_entropy(S * cos, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        at.append(clock())
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss is no number at step {step}")
    return {"steps": np.diff(at[WARM:]).tolist()}


LOOPS = ("ours", "ours, in memory", "plain, our PReLU", "plain")


def measured(name: str, folder: Path, given: argparse.Namespace, cores: int) -> dict[str, Any]:
    """One loop in a process of its own: images a second, share of waiting, peak MB."""
    words = [sys.executable, "-m", "tests.bench.train", "--loop", name, "--folder", str(folder)]
    words += ["--template", given.template, "--cores", str(cores), "--steps", str(given.steps)]
    words += ["--batch", str(given.batch), "--classes", str(given.classes), "--precision", given.precision]
    run = timed(words, cores)
    found = json.loads(run.text.splitlines()[-1])
    seconds = found["steps"]
    rate = given.batch / statistics.median(seconds)
    return {"rate": rate, "wait": found.get("waited", 0.0) / sum(seconds), "peak": run.peak}


def main() -> None:
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("crops", type=Path, nargs="?")
    words.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    words.add_argument("--steps", type=int, default=12)
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--classes", type=int, default=10_000)
    words.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    words.add_argument("--loop", default="")
    words.add_argument("--folder", type=Path)
    words.add_argument("--template", default="")
    given = words.parse_args()
    if given.loop:
        rest = (given.steps, given.batch, given.cores[0], given.precision)
        if given.loop.startswith("ours"):
            wait_briefly()  # as cosface train does
            found = ours(given.folder, given.template, *rest, in_memory="memory" in given.loop)
        else:
            found = plain(*rest, given.classes, own_prelu="our" in given.loop)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given.template = pack(folder, given.crops, given.classes)
        print(
            f"MobileFaceNet in {given.precision}, batch {given.batch}, {given.classes} people, "
            f"crops of template {given.template}"
        )
        rates: dict[tuple[str, int], float] = {}
        for cores in given.cores:
            for loop in LOOPS:
                found = measured(loop, folder, given, cores)
                rates[loop, cores] = found["rate"]
                told = f"  waiting {100 * found['wait']:.1f} %" if loop.startswith("ours") else ""
                line = f"{cores} core(s)  {loop:18}{found['rate']:7.1f} images/s  peak {found['peak']:5.0f} MB"
                print(line + told, flush=True)
            mine = rates["ours", cores]
            print(
                f"{cores} core(s)  ours / plain {mine / rates['plain', cores]:.2f}, "
                f"/ plain with our PReLU {mine / rates['plain, our PReLU', cores]:.2f}, "
                f"/ ours in memory {mine / rates['ours, in memory', cores]:.3f}"
            )
        if {1, 2} <= set(given.cores):
            for loop in LOOPS:
                print(f"two cores / one  {loop:18}{rates[loop, 2] / rates[loop, 1]:.2f}")


if __name__ == "__main__":
    main()
