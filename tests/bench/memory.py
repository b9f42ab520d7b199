"""Memory over many photos: a few listed again and again through align and embed; it must not grow with their number.

usage: python -m tests.bench.memory PHOTOS [--detector mtcnn] [--counts 200,2000,10000,20000] [--workers 2]

PHOTOS: a folder of JPEG files, which stand under as many names as are wanted. Embed runs over the crops that align
wrote. Printed is the memory of all processes together (RSS, so what they share counts for each) when so many rows
were written, and the most while the files are brought to their end. Ends with 1 where it grew by more than 50 MB
after the first count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.bench.align import photos_of
from tests.bench.measure import COSFACE, memory

MOST = 50.0  # MB


def watched(words: list[str], counts: list[int]) -> dict[str, float]:
    """MB of a command's processes when it has written so many rows, and the most after the last count."""
    found: dict[str, float] = {}
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, 1):
            if number in counts:
                found[f"{number} rows"] = memory(process.pid)
            if number == counts[-1]:
                break
        rest = threading.Thread(target=process.stdout.read)
        rest.start()
        found["the end"] = memory(process.pid)
        while process.poll() is None:
            found["the end"] = max(found["the end"], memory(process.pid))
        rest.join()
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} failed")
    return found


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--detector", default="mtcnn")
    words.add_argument("--counts", default="200,2000,10000,20000")
    words.add_argument("--workers", default="2")
    given = words.parse_args()
    counts = [int(word) for word in given.counts.split(",")]
    well = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        some = photos_of(given.photos, 0)
        for number in range(counts[-1]):
            name = root / "raw" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
            name.parent.mkdir(parents=True, exist_ok=True)
            name.symlink_to(some[number % len(some)].resolve())
        common = ["--workers", given.workers, "--quiet", "--format", "json"]
        align = ["align", str(root / "raw"), str(root / "crops"), "--detector", given.detector, "--template", "dlib"]
        for stage in (align, ["embed", str(root / "crops"), str(root / "faces.h5")]):
            found = watched([*COSFACE, *stage, *common], counts)
            first = next(iter(found.values()))
            grown = max(found.values()) - first
            well &= grown <= MOST
            figures = ", ".join(f"{name} {value:.0f} MB" for name, value in found.items())
            print(f"{stage[0]}: {figures}; {grown:+.0f} MB after the first (at most {MOST:.0f} is right)", flush=True)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
