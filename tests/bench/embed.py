"""Crops to vectors: ours beside the bare ONNX Runtime session and dlib; and straight from photos.

usage: python -m tests.bench.embed PHOTOS [--cores 1,2] [--limit N] [--template wide,dlib]

PHOTOS: a folder with a face in most.

Faces a second without start-up: by CPU seconds on one core, by wall time on two (on an idle machine, else it says
little); the ratio of two cores to one is of wall times. "network only" runs the default network over the same pixels
already in memory: the ceiling, and run twice at once, what the machine gives at best on two cores. "decode only" reads
and decodes the crops and cuts them to the network's template. From photos, the limit is what align and embed take
one after the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cosface_cli.align import AlignConfig
from cosface_cli.align.stage import align
from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import open_crops
from cosface_cli.engines.embedders.dlib_embedder import open_dlib
from cosface_cli.engines.photos.face_cutting import crop_of
from cosface_cli.maths.geometry import template
from tests.bench.align import photos_of
from tests.bench.measure import COSFACE, FEW, Run, rate, timed


def chips(folder: Path) -> np.ndarray:
    """The crops of a folder at the default network's template, (N, 150, 150, 3) uint8."""
    need = template("dlib")
    return np.stack([crop_of(pictures.read(crop.path), crop, need) for crop in open_crops(folder)])


def network_only(folder: Path) -> None:
    network, pixels = open_dlib(), chips(folder)
    network.embed(pixels[:8])
    started, cpu = time.monotonic(), time.process_time()
    for start in range(0, len(pixels), 16):
        network.embed(pixels[start : start + 16])
    cpu, wall = time.process_time() - cpu, time.monotonic() - started
    print(json.dumps({"rate": len(pixels) / cpu, "by wall": len(pixels) / wall}))


def decode_only(folder: Path) -> None:
    need, crops = template("dlib"), open_crops(folder)
    crop_of(pictures.read(crops[0].path), crops[0], need)
    started = time.process_time()
    for crop in crops:
        crop_of(pictures.read(crop.path), crop, need)
    print(json.dumps({"rate": len(crops) / (time.process_time() - started)}))


def dlib_only(folder: Path) -> None:
    import dlib

    spec = find_spec("face_recognition_models")
    assert spec is not None and spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"
    network, pixels = dlib.face_recognition_model_v1(str(model)), chips(folder)[:100]
    started = time.process_time()
    for chip in pixels:
        network.compute_face_descriptor(chip)
    print(json.dumps({"rate": len(pixels) / (time.process_time() - started)}))


PARTS: dict[str, Callable[[Path], None]] = {"network": network_only, "decode": decode_only, "dlib": dlib_only}


def part(name: str, crops: Path) -> float:
    """The rate of a part, measured in a process of its own on one core."""
    words = [sys.executable, "-m", "tests.bench.embed", str(crops), "--part", name]
    return float(json.loads(timed(words).text)["rate"])


def two_at_once(crops: Path) -> float:
    """Faces a second by wall time of two bare sessions, each on its own core, together."""
    words = [sys.executable, "-m", "tests.bench.embed", str(crops), "--part", "network"]
    both = [
        subprocess.Popen(["taskset", "-c", str(core), *words], stdout=subprocess.PIPE, text=True) for core in (0, 1)
    ]
    return sum(float(json.loads(one.communicate()[0])["by wall"]) for one in both)


def runs(words: list[str], source: str, out: Path, cores: int) -> tuple[Run, Run]:
    """A stage over FEW inputs, for the start-up, and over all: source and out end in the name of the part."""
    few, every = (
        timed([*COSFACE, *words, f"{source}{name}", f"{out}{name}", "--workers", str(cores), "--quiet"], cores)
        for name in ("few", "all")
    )
    return few, every


def ours(name: str, source: str, out: Path, count: int, cores: list[int], limit: float, words: str) -> float:
    """Print what embed does on each number of cores; limit: faces a second that were to be had on one."""
    walls: list[float] = []
    first = 0.0
    for used in cores:
        few, every = runs(["embed"], source, Path(f"{out} {used} "), used)
        found = rate(few, every, count, by_wall=used > 1)
        first = first or found
        walls.append(rate(few, every, count, by_wall=True))
        more = f"  x{walls[-1] / walls[0]:.2f} of one" if used > 1 else f"  {found / limit:.2f} of {words}"
        cpu = f"{(every.cpu - few.cpu) / (count - FEW) * 1e3:6.2f} CPU ms a face"
        print(f"{name:22}{used} core(s) {found:8.1f} faces/s{more}  {cpu}  peak {every.peak:.0f} MB", flush=True)
    stores = {Path(f"{out} {used} all").read_bytes() for used in cores}
    print(f"{'':22}{'the same bytes' if len(stores) == 1 else 'DIFFERENT BYTES'} on {cores} cores")
    return first


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--cores", default="1,2")
    words.add_argument("--limit", type=int, default=1000)
    words.add_argument("--template", default="wide,dlib")
    words.add_argument("--part", default="")
    given = words.parse_args()
    if given.part:
        PARTS[given.part](given.photos)
        return
    cores = [int(word) for word in given.cores.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, count in (("all", given.limit), ("few", FEW)):
            (root / f"photos {name}").mkdir()
            for number, path in enumerate(photos_of(given.photos, count)):
                (root / f"photos {name}" / f"{number:06d}.jpg").symlink_to(path.resolve())
        for kind in given.template.split(","):
            for name in ("few", "all"):
                align(
                    AlignConfig(raw=str(root / f"photos {name}"), aligned=root / f"{kind} crops {name}", template=kind)
                )
            crops = root / f"{kind} crops all"
            faces = len(open_crops(crops))
            network, decode = part("network", crops), part("decode", crops)
            print(f"{faces} faces, crops of template {kind}")
            print(f"{'network only':22}1 core(s) {network:8.1f} faces/s: the ceiling", flush=True)
            if 2 in cores:
                both = two_at_once(crops)
                print(f"{'network only':22}2 core(s) {both:8.1f} faces/s  x{both / network:.2f} of one", flush=True)
            both = 1 / (1 / network + 1 / decode)
            print(f"{'decode only':22}1 core(s) {decode:8.1f} faces/s; after it the network: {both:.1f}", flush=True)
            out = root / f"{kind} store"
            found = ours(f"ours from {kind} crops", f"{root}/{kind} crops ", out, faces, cores, network, "the ceiling")
        few, every = runs(["align"], f"{root}/photos ", root / "again ", 1)
        aligning = rate(few, every, given.limit, by_wall=False)
        limit = 1 / (1 / aligning + 1 / found)
        print(f"{'align, default':22}1 core(s) {aligning:8.1f} photos/s; after it embed: {limit:.1f}", flush=True)
        ours("ours from photos", f"{root}/photos ", root / "photos store", faces, cores, limit, "align, then embed")
        if find_spec("dlib") is None:
            print("dlib              left out: not installed")
            return
        theirs = part("dlib", crops)
        print(f"{'dlib':22}1 core(s) {theirs:8.1f} faces/s  ceiling / theirs = {network / theirs:.1f}")


if __name__ == "__main__":
    main()
