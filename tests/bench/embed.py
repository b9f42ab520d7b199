"""Crops to vectors: ours beside the bare ONNX Runtime session and dlib; and straight from photos.

usage: python -m tests.bench.embed PHOTOS [--cores 1] [--limit N]    PHOTOS: a folder with a face in most photos

Faces a second by CPU seconds without start-up on one core, by wall time on more. "session only" runs the default
network over the same pixels already in memory: the ceiling.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cosface_cli.align import AlignConfig
from cosface_cli.align.stage import align
from cosface_cli.artifacts import photos
from cosface_cli.artifacts.crops import open_crops
from cosface_cli.engines.embedders.dlib_resnet import open_dlib
from cosface_cli.engines.warp import recrop
from cosface_cli.maths.geometry import template
from tests.bench.align import photos_of
from tests.bench.measure import Run, timed


def chips(folder: Path) -> np.ndarray:
    """The crops of a folder at the default network's template, (N, 150, 150, 3) uint8."""
    need = template("dlib")
    return np.stack([recrop(photos.decode_file(c.path), c.template, need, c.landmarks) for c in open_crops(folder)])


def session_only(folder: Path) -> None:
    network, pixels = open_dlib(), chips(folder)
    network.embed(pixels[:8])
    started = time.process_time()
    for start in range(0, len(pixels), 16):
        network.embed(pixels[start : start + 16])
    print(json.dumps({"rate": len(pixels) / (time.process_time() - started)}))


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


def rate(one: Run, every: Run, count: int, cores: int) -> float:
    """Faces a second of a run over `count`, the start-up of a run over one taken off."""
    seconds = every.cpu - one.cpu if cores == 1 else every.wall - one.wall
    return (count - 1) / max(seconds, 1e-9)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--cores", type=int, default=1)
    words.add_argument("--limit", type=int, default=1000)
    words.add_argument("--peer", default="")
    given = words.parse_args()
    if given.peer:
        {"session only": session_only, "dlib": dlib_only}[given.peer](given.photos)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, count in (("many", given.limit), ("one", 1)):
            (root / name).mkdir()
            for number, path in enumerate(photos_of(given.photos, count)):
                (root / name / f"{number:06d}.jpg").symlink_to(path.resolve())
            align(AlignConfig(str(root / name), root / f"{name} crops"))
        faces = len(open_crops(root / "many crops"))
        print(f"{faces} faces, {given.cores} core(s)")
        command = [sys.executable, "-m", "tests.bench.embed", str(root / "many crops"), "--peer"]
        ceiling = json.loads(timed([*command, "session only"]).text)["rate"]
        print(f"{'session only':18}{ceiling:8.1f} faces/s on one core")
        for source in ("crops", "photos"):
            part = " crops" if source == "crops" else ""
            runs = []
            for name in ("one", "many"):
                ours = [sys.executable, "-m", "cosface_cli", "embed", str(root / f"{name}{part}")]
                ours += [str(root / f"{name}{part}.h5"), "--workers", str(given.cores), "--format", "json", "--quiet"]
                runs.append(timed(ours, given.cores))
            found = rate(runs[0], runs[1], faces, given.cores)
            share = found / ceiling / given.cores
            print(f"{'ours from ' + source:18}{found:8.1f} faces/s  {share:.2f} of it  peak {runs[1].peak:.0f} MB")
        if find_spec("dlib") is None:
            print("dlib              left out: not installed")
            return
        theirs = json.loads(timed([*command, "dlib"]).text)["rate"]
        print(f"{'dlib':18}{theirs:8.1f} faces/s on one core  ceiling / theirs = {ceiling / theirs:.1f}")


if __name__ == "__main__":
    main()
