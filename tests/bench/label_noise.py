"""The audit of labels on labels swapped on purpose: what share of them it finds, and what share of its finds they are.

usage: python -m tests.bench.label_noise ALIGNED WORK [--share 0.05] [--seed 0] [--recipe small] [--epochs 6]
       [--start default]

ALIGNED: crops of people, none of them in a test set, from cosface align; WORK: for the crops with labels swapped and
the run, which goes on there if it was stopped. A data set has wrong labels of its own, and they count against the
precision here: look at report.html in WORK/run.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.crops.manifest import open_crops, read_lines
from cosface_cli.train import TrainConfig
from cosface_cli.train.stage import train


def plant(aligned: Path, out: Path, share: float, seed: int) -> tuple[str, dict[str, str]]:
    """Copy the crops, that share of them under another name; gives their template, and whose the swapped ones are."""
    crops = sorted(open_crops(aligned), key=lambda crop: crop.name)
    people = sorted({str(crop.identity) for crop in crops})
    draw = np.random.default_rng(seed)
    swapped = set(draw.permutation(len(crops))[: round(share * len(crops))].tolist())
    truth = {}
    for place, crop in enumerate(crops):
        own = str(crop.identity)
        name = (
            people[(people.index(own) + int(draw.integers(1, len(people)))) % len(people)] if place in swapped else own
        )
        target = f"{name}/{crop.name.replace('/', '_')}"
        (out / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(crop.path, out / target)
        if place in swapped:
            truth[target] = own
    return crops[0].template.name, truth


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("aligned", type=Path)
    words.add_argument("work", type=Path)
    words.add_argument("--share", type=float, default=0.05)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--recipe", default="small")
    words.add_argument("--epochs", type=int, default=6)
    words.add_argument("--start")
    given = words.parse_args()
    template, truth = plant(given.aligned, given.work / "crops", given.share, given.seed)
    report = train(
        TrainConfig(
            aligned=given.work / "crops",
            template=template,
            out=given.work / "run",
            recipe=given.recipe,
            start=given.start,
            epochs=given.epochs,
            hold_out=0.0,  # they would not be judged
            blend=False,
        )
    )
    rows = list(read_lines(report.out / "noise.jsonl"))
    hits = [row["crop"] in truth for row in rows]
    named = sum(truth.get(row["crop"]) == row["nearest"] for row in rows)
    print(f"{report.images} crops of {report.identities} people, {len(truth)} swapped, {len(rows)} found")
    print(f"recall {sum(hits) / len(truth):.3f}, precision {sum(hits) / max(1, len(rows)):.3f}")
    surest = sum(hits[: len(truth)]) / len(truth)
    print(f"of the surest {len(truth)}: {surest:.3f}; rightly named: {named / len(truth):.3f}")


if __name__ == "__main__":
    main()
