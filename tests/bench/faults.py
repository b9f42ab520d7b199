"""kill -9 at random moments of align and embed: the same command again ends with the files of a run left alone.

usage: python -m tests.bench.faults [--kills 100] [--seed N] [--copies 5] [--stages align,embed]

A run over a hundred small photos, some without a face, is killed with all its processes at a moment drawn over its
whole length, start-up and the last rename included, one in four within its last tenth; then it is run again to its end.
One worker and two take turns. Counted are kills, of those the ones after the first row and after the last, runs that
had ended before their moment (drawn again), outputs that differ in any file, rows that were told and done again (lost)
and sources that stand twice (doubled). Ends with 1 where a count is not what it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import MANIFEST, read_lines
from cosface_cli.artifacts.store.store_file import Store
from tests.bench.measure import COSFACE

ROOT = Path(__file__).resolve().parents[2]


def photos(root: Path, copies: int) -> Path:
    """The packaged people, each copy of them a little different in its bytes."""
    one = root / "one"
    subprocess.run([sys.executable, ROOT / "examples" / "quickstart_photos.py", one], check=True, stdout=sys.stderr)
    for copy in range(copies):
        shutil.copytree(one, root / "raw" / f"{copy:02d}")
        for path in (root / "raw" / f"{copy:02d}").rglob("*.jpg"):
            path.write_bytes(path.read_bytes() + bytes([copy + 1]) * 8)  # behind the picture's end
    return root / "raw"


def files(root: Path) -> dict[str, bytes]:
    """What a run left, hidden files too."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def command(stage: str, raw: Path, folder: Path, workers: int) -> list[str]:
    """The run that is to be killed; its output lies in the folder."""
    out = folder / ("crops" if stage == "align" else "faces.h5")
    return [*COSFACE, stage, str(raw), str(out), "--workers", str(workers), "--quiet", "--format", "json"]


def told(rows: Path) -> Counter[str]:
    """How many rows a run wrote of each source that it did; a row cut short is none."""
    lines = rows.read_bytes().split(b"\n")[:-1]
    return Counter(row["source"] for row in map(json.loads, lines) if row["status"] == "ok")


def kept(stage: str, folder: Path) -> Counter[str]:
    """How often each face stands in the output."""
    if stage == "align":
        return Counter(f"{line['source']} {line['face']}" for line in read_lines(folder / "crops" / MANIFEST))
    with Store(folder / "faces.h5") as store:
        return Counter(f"{row.root}/{row.source} {row.face}" for row in store.rows())


def run(words: list[str], rows: Path, seconds: float | None = None) -> tuple[bool, float]:
    """Run a command, or kill it and all that it started after so many seconds.

    Gives whether it was killed, and how long it took.
    """
    started = time.monotonic()
    with rows.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, start_new_session=True)
    if seconds is not None:
        time.sleep(max(0.0, started + seconds - time.monotonic()))
        os.killpg(process.pid, signal.SIGKILL)
    _, err = process.communicate()
    if process.returncode not in (0, 3, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(words)} failed: {err.decode()}")
    return process.returncode == -signal.SIGKILL, time.monotonic() - started


def try_out(stage: str, raw: Path, root: Path, kills: int, at: random.Random) -> bool:
    """Kill so many runs of a stage and print the counts; True where all is well."""
    count: Counter[str] = Counter()
    rows, want, length = root / "rows", {}, {1: 0.0, 2: 0.0}
    for workers in (1, 2, 1, 2):  # the first of each fills the cache of models and files
        folder = root / f"{stage} whole {workers}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _, length[workers] = run(command(stage, raw, folder, workers), rows)
        want[workers] = files(folder)
    if want[1] != want[2]:
        raise SystemExit(f"{stage}: two workers write other files than one")
    every, faces = told(rows), len(kept(stage, folder))
    while count["killed"] < kills:
        workers = 1 + count["killed"] % 2
        folder = root / f"{stage} killed"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        words = command(stage, raw, folder, workers)
        share = at.uniform(0.9, 1.0) if at.random() < 0.25 else at.random()
        killed, _ = run(words, rows, share * length[workers])
        if not killed:
            count["ended before"] += 1
            length[workers] *= 0.97
            continue
        count["killed"] += 1
        before = told(rows)
        count["after the first row"] += bool(before)
        count["after the last row"] += before == every
        _, again = run(words, rows)
        if not before:  # a whole run: what it takes now, with whatever else goes on here
            length[workers] = again
        count["done again"] += sum((told(rows) & before).values())
        count["files differ"] += files(folder) != want[workers]
        found = kept(stage, folder)
        count["doubled"] += sum(found.values()) - len(found)
        count["lost"] += max(0, faces - len(found))
    print(f"{stage}: {len(every)} photos with a face, {faces} rows")
    for name in ("killed", "after the first row", "after the last row", "ended before"):
        print(f"  {name:22}{count[name]:5d}")
    wrong = ("files differ", "done again", "lost", "doubled")
    for name in wrong:
        print(f"  {name:22}{count[name]:5d}  (0 is right)", flush=True)
    return not any(count[name] for name in wrong)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    words.add_argument("--copies", type=int, default=5)
    words.add_argument("--stages", default="align,embed")
    given = words.parse_args()
    print(f"seed {given.seed}", flush=True)
    at = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        raw = photos(Path(folder), given.copies)
        well = [try_out(stage, raw, Path(folder), given.kills, at) for stage in given.stages.split(",")]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
