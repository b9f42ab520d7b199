"""Milliseconds a photo of each detector on one thread, and whether faces="largest" finds the largest face.

    python tests/bench/largest_face.py [photos ...]

Without photos it takes the collections in ../shared. facenet-pytorch's MTCNN runs beside ours where it is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))

from facenet_reference import Facenet, package_folder

from cosface_cli.engines.detectors import Detections
from cosface_cli.engines.detectors.mtcnn.detector import open_mtcnn
from cosface_cli.engines.detectors.open_detector import open_detector

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
MODELS = [path for kind in ("yunet", "scrfd") for path in sorted((SHARED / "models").glob(f"{kind}*"))]


def largest(found: Detections) -> tuple[np.ndarray, np.ndarray]:
    i = int((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1).argmax())
    return found.boxes[i], found.landmarks[i]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def timed(name: str, call: Callable[[np.ndarray], Any], images: list[np.ndarray]) -> tuple[float, list[Any]]:
    for image in images[:3]:
        call(image)
    start = time.process_time()
    found = [call(image) for image in images]
    each = 1000 * (time.process_time() - start) / len(images)
    print(f"  {name:26s} {each:8.2f} ms a photo")
    return each, found


def agreement(quick: list[Detections], full: list[Detections]) -> None:
    """Prints in how many photos the largest face is the same, and how far its landmarks lie apart."""
    faces, apart, others = 0, [], []
    for i, (a, b) in enumerate(zip(quick, full, strict=True)):
        if not len(b):
            continue
        faces += 1
        box, points = largest(b)
        if len(a) and iou(largest(a)[0], box) > 0.7:
            apart.append(np.linalg.norm(largest(a)[1] - points, axis=1).mean() / (box[2] - box[0]))
        else:
            others.append(i)
    shares = f"{np.mean(apart):.4f}, at most {np.max(apart):.3f}" if apart else "-"
    print(f"  the largest is the same in {len(apart)} of {faces} (not in {others});", end=" ")
    print(f"landmarks apart by {shares} of its width")


def main() -> None:
    cv2.setNumThreads(1)
    sets = {"given": [Path(name) for name in sys.argv[1:]]}
    if not sets["given"]:
        celeba = sorted((SHARED / "data" / "celeba").glob("*/*"))
        sets = {"photos": sorted((SHARED / "data" / "photos").iterdir()), "celeba": celeba[4::10]}
    for name, paths in sets.items():
        images = [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths]
        height, width = np.median([image.shape[:2] for image in images], axis=0).astype(int)
        print(f"{name}: {len(images)} photos, {width} x {height}")
        ours = open_mtcnn()
        _, quick = timed("mtcnn largest", lambda image, d=ours: d.detect([image], "largest")[0], images)
        each, full = timed("mtcnn all", lambda image, d=ours: d.detect([image])[0], images)
        agreement(quick, full)
        adaptive = open_mtcnn(resize="adaptive")
        timed("mtcnn all, adaptive", lambda image, d=adaptive: d.detect([image])[0], images)
        for path in MODELS:
            other = open_detector(str(path), 20)
            timed(path.stem, lambda image, d=other: d.detect([image])[0], images)
        if package_folder() is not None:
            import torch

            torch.set_num_threads(1)
            theirs, _ = timed("facenet-pytorch, 50 photos", Facenet().detect, images[:50])
            print(f"  ours is {theirs / each:.1f} times as fast")


if __name__ == "__main__":
    main()
