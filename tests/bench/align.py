"""Photo files to aligned crops on disk: ours beside insightface, OpenCV and face_recognition.

usage: python -m tests.bench.align PHOTOS [--models FOLDER] [--cores 1,2] [--peers NAME,NAME] [--limit N]

Every tool gets the same JPEG files and one core, and writes a crop of the largest face of each photo to disk. Photos a
second are without start-up, which a run over a few photos measures: by CPU seconds on one core, by wall time on two (on
an idle machine, else it says little); the ratio of two cores to one is of wall times. "decode only" and "detector only"
run these parts alone, in one process: what is left is cutting out, encoding and writing. Peers that are not installed
are left out and said. --models: where yunet_n_dynamic.onnx and scrfd_500m_kps.onnx lie.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.measure import COSFACE, FEW, Run, rate, timed

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


def parts(detector: str, root: Path) -> None:
    """Decoding and detection alone, as the reader asks for them: prints photos a second of each."""
    import os

    from cosface_cli.artifacts import pictures
    from cosface_cli.engines.detectors.open_detector import open_detector
    from cosface_cli.engines.runtime.cpu import single_threaded

    single_threaded()
    real = os.dup(1)
    os.dup2(2, 1)
    opened = open_detector(detector, 20.0)
    contents = [path.read_bytes() for path in photos_of(root, 0)]
    images = [pictures.decode(content, "", opened.long_side).image for content in contents[:2]]
    opened.detect(images[:1], "largest")
    seconds = {"decode": 0.0, "detector": 0.0}
    for content in contents:
        started = time.process_time()
        image = pictures.decode(content, "", opened.long_side).image
        decoded = time.process_time()
        opened.detect([image], "largest")
        seconds["decode"] += decoded - started
        seconds["detector"] += time.process_time() - decoded
    os.dup2(real, 1)
    print(json.dumps({name: len(contents) / spent for name, spent in seconds.items()}))


def ours(models: Path) -> Iterator[tuple[str, str]]:
    yield "cosface mtcnn", "mtcnn"
    for name, file in (("yunet", "yunet_n_dynamic.onnx"), ("scrfd", "scrfd_500m_kps.onnx")):
        if (models / file).is_file():
            yield f"cosface {name}", str(models / file)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--models", type=Path, default=Path("models"))
    words.add_argument("--cores", default="1,2")
    words.add_argument("--peers", default=",".join(PEERS))
    words.add_argument("--limit", type=int, default=0)
    words.add_argument("--peer", default="")
    words.add_argument("--parts", default="")
    words.add_argument("--out", type=Path)
    given = words.parse_args()
    if given.peer:
        peer(given.peer, given.photos, given.models, given.limit, given.out)
        return
    if given.parts:
        parts(given.parts, given.photos)
        return
    itself = [sys.executable, "-m", "tests.bench.align"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, count in (("all", given.limit), ("few", FEW)):
            (root / name).mkdir()
            for number, path in enumerate(photos_of(given.photos, count)):
                (root / name / f"{number:06d}.jpg").symlink_to(path.resolve())
        total = len(list((root / "all").iterdir()))
        print(f"{total} photos; photos/s without start-up")
        base = 0.0
        for name, detector in ours(given.models):
            walls: list[float] = []
            outs: set[str] = set()
            for cores in map(int, given.cores.split(",")):
                runs = []
                for some in ("few", "all"):
                    out = root / f"{some} {name} {cores}"
                    command = [*COSFACE, "align", str(root / some), str(out), "--detector", detector]
                    more = ["--workers", str(cores), "--template", "arcface", "--format", "json", "--quiet"]
                    runs.append(timed([*command, *more], cores))
                faces = sum(json.loads(line)["status"] == "ok" for line in runs[1].text.splitlines())
                outs.add(digest(out))
                walls.append(rate(*runs, total, by_wall=True))
                found = show(name, total, faces, runs, cores, base, walls[-1] / walls[0])
                base = base or found
            print(f"{'':18}{'the same bytes' if len(outs) == 1 else 'DIFFERENT BYTES'} on {given.cores} cores")
            alone = json.loads(timed([*itself, str(root / "all"), "--parts", detector]).text)
            both = 1 / sum(1 / value for value in alone.values())
            print(
                f"{'':18}decode only {alone['decode']:.1f}, detector only {alone['detector']:.1f}, "
                f"one after the other {both:.1f} photos/s",
                flush=True,
            )
        for name in filter(None, given.peers.split(",")):
            if find_spec(MODULES[name]) is None:
                print(f"{name:18}left out: not installed")
                continue
            runs = []
            for some in ("few", "all"):
                out = root / f"{some} {name}"
                out.mkdir()
                command = [*itself, str(root / some), "--peer", name, "--models", str(given.models), "--out", str(out)]
                runs.append(timed(command))
            show(name, total, json.loads(runs[1].text)["faces"], runs, 1, base, 1.0)


def show(name: str, total: int, faces: int, runs: list[Run], cores: int, base: float, wall_ratio: float) -> float:
    """Print a line and give the photos a second (by CPU on one core, by wall time on more)."""
    few, every = runs
    found = rate(few, every, total, by_wall=cores > 1)
    ratio = f"  mtcnn of ours / this = {base / found:.2f}" if base and cores == 1 else ""
    ratio = f"  x{wall_ratio:.2f} of one core" if cores > 1 else ratio
    cpu = f"{(every.cpu - few.cpu) / (total - FEW) * 1e3:6.2f} CPU ms a photo"
    seen = f"{faces:6d} with a face  peak {every.peak:5.0f} MB"
    print(f"{name:18}{cores} core(s) {found:8.1f} photos/s  {cpu}  {seen}{ratio}", flush=True)
    return found


def digest(folder: Path) -> str:
    """Of all files of a folder, names and contents."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
