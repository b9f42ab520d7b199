"""Photo files to aligned crops on disk: ours beside insightface, OpenCV and face_recognition.

usage: python -m tests.bench.align PHOTOS [--models FOLDER] [--cores 1] [--peers NAME,NAME] [--limit N]

Every tool gets the same JPEG files and as many cores, and writes a crop of the largest face of each photo to disk.
Photos a second are by CPU seconds without start-up, which a run over one photo measures. Peers that are not installed
are left out and said. --models: where yunet_n_dynamic.onnx and scrfd_500m_kps.onnx lie.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.measure import timed

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
Find = Callable[[Any], Any]  # BGR picture -> crop or None


def norm_crop(image: Any, landmarks: Any) -> Any:
    import cv2

    matrix, _ = cv2.estimateAffinePartial2D(np.asarray(landmarks, np.float32), ARCFACE.astype(np.float32))
    return cv2.warpAffine(image, matrix, (112, 112))


def insightface(models: Path) -> Find:
    import onnxruntime
    from insightface.model_zoo import get_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    detector = get_model(str(models / "scrfd_500m_kps.onnx"), sess_options=options, providers=["CPUExecutionProvider"])
    detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)

    def find(image: Any) -> Any:
        boxes, points = detector.detect(image)
        if not len(boxes):
            return None
        return norm_crop(image, points[((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argmax()])

    return find


def opencv(models: Path) -> Find:
    import cv2

    detector = cv2.FaceDetectorYN.create(str(models / "yunet_n_dynamic.onnx"), "", (320, 320), 0.6)

    def find(image: Any) -> Any:
        detector.setInputSize(image.shape[1::-1])
        _, faces = detector.detect(image)
        if faces is None:
            return None
        return norm_crop(image, faces[(faces[:, 2] * faces[:, 3]).argmax()][4:14].reshape(5, 2))

    return find


def face_recognition(models: Path) -> Find:
    import face_recognition as peer

    def find(image: Any) -> Any:
        import dlib

        rgb = np.ascontiguousarray(image[:, :, ::-1])
        found = peer.face_locations(rgb)
        if not found:
            return None
        top, right, bottom, left = max(found, key=lambda b: (b[2] - b[0]) * (b[1] - b[3]))
        shape = peer.api.pose_predictor_5_point(rgb, dlib.rectangle(left, top, right, bottom))
        return dlib.get_face_chip(rgb, shape, 150)[:, :, ::-1]

    return find


PEERS = {"insightface": insightface, "opencv": opencv, "face_recognition": face_recognition}
MODULES = {"insightface": "insightface", "opencv": "cv2", "face_recognition": "face_recognition"}


def photos_of(root: Path, limit: int) -> list[Path]:
    found = sorted(path for path in root.rglob("*.jpg"))
    return found[:: max(1, len(found) // limit)][:limit] if limit else found


def peer(name: str, root: Path, models: Path, limit: int, out: Path) -> None:
    """A plain loop over the photos, in a process of its own: prints how many had a face."""
    import os

    import cv2

    cv2.setNumThreads(1)
    real = os.dup(1)
    os.dup2(2, 1)
    find = PEERS[name](models)
    faces = 0
    for number, path in enumerate(photos_of(root, limit)):
        image = cv2.imread(str(path))
        crop = find(image)
        if crop is not None:
            faces += 1
            cv2.imwrite(str(out / f"{number}.jpg"), crop, [cv2.IMWRITE_JPEG_QUALITY, 95])
    os.dup2(real, 1)
    print(json.dumps({"faces": faces}))


def ours(models: Path) -> Iterator[tuple[str, list[str]]]:
    yield "cosface mtcnn", []
    if (models / "yunet_n_dynamic.onnx").is_file():
        yield "cosface yunet", ["--detector", str(models / "yunet_n_dynamic.onnx")]
    if (models / "scrfd_500m_kps.onnx").is_file():
        yield "cosface scrfd", ["--detector", str(models / "scrfd_500m_kps.onnx")]


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--models", type=Path, default=Path("models"))
    words.add_argument("--cores", type=int, default=1)
    words.add_argument("--peers", default=",".join(PEERS))
    words.add_argument("--limit", type=int, default=0)
    words.add_argument("--peer", default="")
    words.add_argument("--out", type=Path)
    given = words.parse_args()
    if given.peer:
        peer(given.peer, given.photos, given.models, given.limit, given.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, count in (("all", given.limit), ("one", 1)):
            (root / name).mkdir()
            for number, path in enumerate(photos_of(given.photos, count)):
                (root / name / f"{number:06d}.jpg").symlink_to(path.resolve())
        total = len(list((root / "all").iterdir()))
        print(f"{total} photos, {given.cores} core(s); photos/s by CPU seconds, start-up taken off")
        base = 0.0
        for name, options in ours(given.models):
            runs = []
            for part in ("one", "all"):
                command = [sys.executable, "-m", "cosface_cli", "align", str(root / part), str(root / f"{part} {name}")]
                more = ["--workers", str(given.cores), "--template", "arcface", "--format", "json", "--quiet"]
                runs.append(timed([*command, *options, *more], given.cores))
            rows = [json.loads(line) for line in runs[1].text.splitlines()]
            faces = sum(row["status"] == "ok" for row in rows)
            rate = show(name, total, faces, runs, given.cores, base)
            base = base or rate
        for name in given.peers.split(","):
            if find_spec(MODULES[name]) is None:
                print(f"{name:18}left out: not installed")
                continue
            runs = []
            for part in ("one", "all"):
                out = root / f"{part} {name}"
                out.mkdir()
                command = [sys.executable, "-m", "tests.bench.align", str(root / part), "--peer", name]
                runs.append(timed([*command, "--models", str(given.models), "--out", str(out)]))
            show(name, total, json.loads(runs[1].text)["faces"], runs, 1, base)


def show(name: str, total: int, faces: int, runs: list[Any], cores: int, base: float) -> float:
    """Print a line and give the photos a second (by CPU on one core, by wall time on more)."""
    one, every = runs
    seconds = every.cpu - one.cpu if cores == 1 else every.wall - one.wall
    rate = (total - 1) / max(seconds, 1e-9)
    ratio = f"  mtcnn of ours / this = {base / rate:.2f}" if base else ""
    print(f"{name:18}{rate:8.1f} photos/s  {faces:6d} with a face  peak {every.peak:5.0f} MB{ratio}", flush=True)
    return rate


if __name__ == "__main__":
    main()
