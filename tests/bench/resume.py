"""kill -9 at random steps, and go on: do the weights end as those of a run that was never stopped?

    python -m tests.bench.resume [--stops 20] [--seed 0] [--out FOLDER]

A toy run (MobileFaceNet, 8 people) once straight through, then again as many times as asked for: each is killed by
signal 9 after a step drawn at random (some twice), started again by the same command, and compared by the SHA-256 of
every file in its folder. Ways of training take turns: SGD, AdamW with EMA and accumulation, an annealed loss, bf16.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cosface_cli.artifacts.run.run_record import RunFolder
from tests.train.conftest import write_crops

WAYS = {
    "sgd": [],
    "adamw, ema, accumulate": ["--optimizer", "adamw", "--ema", "0.99", "--accumulate", "2"],
    "sphereface (annealed)": ["--loss", "sphereface"],
    "bf16, elasticface (drawn margins)": ["--precision", "bf16", "--loss", "elasticface"],
}
EPOCHS, STEPS = 3, 12  # 32 crops in batches of 8


def started(aligned: Path, out: Path, way: list[str]) -> subprocess.Popen[bytes]:
    words = ["train", str(aligned), "--out", str(out), "--template", "arcface", "--recipe", "small", "--device", "cpu"]
    words += ["--epochs", str(EPOCHS), "--batch", "8", "--threads", "1", "--save-every", "0", "--quiet", *way]
    return subprocess.Popen([sys.executable, "-m", "cosface_cli", *words], stdout=subprocess.DEVNULL)


def killed_at(aligned: Path, out: Path, way: list[str], step: int) -> int | None:
    """Start it, and kill it once its state is of that step or later; gives the step, None where it had ended."""
    run = started(aligned, out, way)
    state = RunFolder(out).state
    while (done := step_of(state)) < step:
        if run.poll() is not None:
            return None
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    return done


def step_of(state: Path) -> int:
    try:
        head = state.open("rb").read(1 << 16).decode("latin-1")
    except FileNotFoundError:
        return -1
    return int(head.split('step\\": ')[1].split(",")[0].split("}")[0]) if 'step\\": ' in head else -1


def hash_of(out: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        digest.update(path.relative_to(out).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--stops", type=int, default=20)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--out", type=Path, default=None)
    options = asked.parse_args()
    draw = random.Random(options.seed)
    root = options.out or Path(tempfile.mkdtemp(prefix="resume-"))
    aligned = write_crops(root / "aligned", people=8, images=4)
    straight = {}
    for name, way in WAYS.items():
        out = root / f"straight-{len(straight)}"
        assert started(aligned, out, way).wait() == 0
        straight[name] = hash_of(out)
        print(f"{name}: never stopped {straight[name][:16]}", flush=True)
    stops = same = number = 0
    while stops < options.stops:
        name = list(WAYS)[number % len(WAYS)]
        out = root / f"killed-{number}"
        at = []
        for step in sorted(draw.sample(range(1, STEPS), draw.choice((1, 2)))):
            done = killed_at(aligned, out, WAYS[name], step)
            if done is not None:
                at.append(done)
        assert started(aligned, out, WAYS[name]).wait() == 0
        found = hash_of(out)
        stops, number = stops + len(at), number + 1
        same += found == straight[name]
        print(
            f"{name}: killed after step {at} {found[:16]} {'equal' if found == straight[name] else 'DIFFERS'}",
            flush=True,
        )
        shutil.rmtree(out)
    print(f"{stops} stops in {number} runs, {same} of {number} ended the same")
    return 0 if same == number else 1


if __name__ == "__main__":
    sys.exit(main())
