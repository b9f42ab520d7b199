"""One table of all detectors on the annotated photos of ../shared/data/dlib_faces, on one thread.

    python tests/bench/detectors.py [detector ...]

recall: of the annotated boxes, those that a found box overlaps by more than half (intersection over union), each found
box counted once; unmatched: found boxes left over, in all photos, those without annotations included; error: mean
distance of the landmarks to the annotated ones over the distance of the eyes, of matched faces: eye centres, nose tip
and mouth corners out of 68 points (which are themselves a model's, not a person's).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from cosface_cli.engines.detectors import Detections
from cosface_cli.engines.detectors.open_detector import open_detector

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
# of the 68 points, as seen in the picture: both eyes' outlines, tip of the nose, corners of the mouth
FIVE = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
ROUNDS = 3

Face = tuple[np.ndarray, np.ndarray]  # box (4,), landmarks (5, 2)


def annotations(folder: Path) -> dict[str, list[Face]]:
    """The annotated faces of each photo."""
    found: dict[str, list[Face]] = {path.name: [] for path in sorted(folder.glob("*.jpg"))}
    for name in ("testing_with_face_landmarks.xml", "training_with_face_landmarks.xml"):
        for image in ElementTree.parse(folder / name).iter("image"):
            for box in image.iter("box"):
                left, top, width, height = (float(box.attrib[k]) for k in ("left", "top", "width", "height"))
                points = {int(p.attrib["name"]): (float(p.attrib["x"]), float(p.attrib["y"])) for p in box.iter("part")}
                five = np.array([np.mean([points[n] for n in group], axis=0) for group in FIVE])
                found[image.attrib["file"]].append((np.array([left, top, left + width, top + height]), five))
    return found


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with boxes (N, 4)."""
    size = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    shared = size.prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared)


def matched(faces: list[Face], found: Detections) -> list[float]:
    """The landmark error of each annotated face that was found."""
    errors, free = [], np.ones(len(found), bool)
    for box, points in faces:
        shares = np.where(free, overlaps(box, found.boxes), 0.0)
        if not len(shares) or shares.max() <= 0.5:
            continue
        best = int(shares.argmax())
        free[best] = False
        apart = np.linalg.norm(found.landmarks[best] - points, axis=1).mean()
        errors.append(float(apart / np.linalg.norm(points[1] - points[0])))
    return errors


def main() -> None:
    cv2.setNumThreads(1)
    models = sorted(
        path for path in (SHARED / "models").iterdir() if path.name.startswith(("yunet", "scrfd", "retina"))
    )
    given = sys.argv[1:] or ["mtcnn", *map(str, models)]
    folder = SHARED / "data" / "dlib_faces"
    photos = annotations(folder)
    images = [np.ascontiguousarray(cv2.imread(str(folder / name))[..., ::-1]) for name in photos]
    faces = sum(map(len, photos.values()))
    print(f"{len(images)} photos, {faces} annotated faces, OpenCV {cv2.__version__}")
    print(f"{'detector':34s} {'recall':>8s} {'unmatched':>9s} {'error':>7s} {'median':>7s} {'ms a photo':>10s}")
    for spec in given:
        detector = open_detector(spec, 20)
        found = [detector.detect([image])[0] for image in images]
        start = time.process_time()
        for _ in range(ROUNDS):
            for image in images:
                detector.detect([image])
        each = 1000 * (time.process_time() - start) / (ROUNDS * len(images))
        errors = [error for own, one in zip(photos.values(), found, strict=True) for error in matched(own, one)]
        unmatched = sum(map(len, found)) - len(errors)
        print(
            f"{Path(spec).stem:34s} {len(errors):>5d}/{faces} {unmatched:>9d}"
            f" {np.mean(errors):>7.3f} {np.median(errors):>7.3f} {each:>10.1f}"
        )


if __name__ == "__main__":
    main()
