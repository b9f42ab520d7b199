"""YuNet (Wu 2023, "YuNet: A Tiny Millisecond-level Face Detector"), OpenCV's ONNX file, on ONNX Runtime.

The numbers of OpenCV's FaceDetectorYN, in less than half its time on a CPU. Each cell of three grids, 8, 16 and 32
pixels wide, reports one face: its score is sqrt(cls obj), its box and points count in cells from the cell's corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import file_sha256
from cosface_cli.engines.detectors import Detections, Faces
from cosface_cli.engines.detectors.pictures import (
    best_first,
    checked,
    looked_at_again,
    looked_at_closer,
    nothing,
    rescaled,
    shrunk,
)
from cosface_cli.engines.runtime.onnx_session import open_session
from cosface_cli.errors import CosfaceError

STRIDES = (8, 16, 32)
OUTPUTS = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
GLANCE = 320  # pixels of the longer side: enough to find the largest face of nearly every photo

Array = NDArray[np.float32]


class YuNet:
    """See the Detector protocol; open_yunet makes one."""

    def __init__(self, path: Path, score: float, overlap: float, long_side: int) -> None:
        self.name = f"yunet-{file_sha256(path)[:8]}"
        self._session = open_session(path)
        taken = self._session.get_inputs()[0]
        side = taken.shape[-1]
        self._fixed = side if isinstance(side, int) else None
        self._input = taken.name
        self.long_side = min(long_side, self._fixed or long_side)
        self._score = score
        self._overlap = overlap

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Faces = "all") -> list[Detections]:
        """See Detector.detect; the pictures may differ in size. Raises ValueError for what is no RGB uint8 picture.

        For want="largest" a picture is first looked at small, and only searched as a whole where that shows no face.
        """
        return [self._detect(image, want) for image in map(checked, images)]

    def _detect(self, image: NDArray[np.uint8], want: Faces) -> Detections:
        if not image.size:
            return nothing()
        if want == "largest" and self._fixed is None and max(image.shape[:2]) > GLANCE:
            small = shrunk(image, min(GLANCE, self.long_side))
            found = self._run(small)
            if len(found) and _fits(found, small):
                return rescaled(found, small, image)
        seen = shrunk(image, self.long_side)
        found = looked_at_again(self._run(seen), seen, self._run)
        found = looked_at_closer(found, seen, self._run, self.long_side)
        return rescaled(found, seen, image)

    def _run(self, seen: NDArray[np.uint8]) -> Detections:
        if self._fixed is not None and max(seen.shape[:2]) > self._fixed:  # a border was added
            small = shrunk(seen, self._fixed)
            return rescaled(self._run(small), small, seen)
        height, width = (self._fixed or -(-side // 32) * 32 for side in seen.shape[:2])
        planes = np.zeros((1, 3, height, width), np.float32)
        planes[0, :, : seen.shape[0], : seen.shape[1]] = seen[:, :, ::-1].transpose(2, 0, 1)  # it was trained on BGR
        out = dict(zip(OUTPUTS, self._session.run(OUTPUTS, {self._input: planes}), strict=True))
        found = [self._grid(out, stride, width // stride) for stride in STRIDES]
        boxes, points, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        sizes = boxes[:, 2:] - boxes[:, :2]
        corners = np.concatenate([boxes[:, :2], sizes], axis=1)
        kept = np.asarray(cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), self._score, self._overlap), dtype=int)
        return best_first(boxes[kept], points[kept], scores[kept]) if len(kept) else nothing()

    def _grid(self, out: Mapping[str, Array], stride: int, columns: int) -> tuple[Array, Array, Array]:
        """The candidates of one grid: boxes (n, 4), points (n, 5, 2) and scores (n,)."""
        cls, obj = (np.clip(out[f"{part}_{stride}"][0, :, 0], 0, 1) for part in ("cls", "obj"))
        scores = np.sqrt(cls * obj)
        cells = np.flatnonzero(scores >= self._score)
        corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        box, points = out[f"bbox_{stride}"][0, cells], out[f"kps_{stride}"][0, cells].reshape(-1, 5, 2)
        center, size = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
        return boxes, (points + corner[:, None]) * stride, scores[cells]


def _fits(found: Detections, seen: NDArray[np.uint8]) -> bool:
    """Whether no face is larger than the shorter side: such a one was not seen whole."""
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    return bool((size[:, 0] * size[:, 1]).max() <= min(seen.shape[:2]) ** 2)


def open_yunet(path: str | Path, score: float = 0.6, overlap: float = 0.3, long_side: int = 640) -> YuNet:
    """YuNet's ONNX file, with free or with fixed input size.

    score: the least one reported, 0..1; overlap: intersection over union from which the weaker of two boxes is dropped;
    long_side: pixels to which larger pictures are shrunk, since a face that fills a large picture is not seen whole.
    Raises CosfaceError for a file that is no such model.
    """
    network = YuNet(Path(path), score, overlap, long_side)
    try:
        network.detect([np.zeros((64, 64, 3), np.uint8)])
    except Exception as error:  # the runtime's own exceptions share no base class
        raise CosfaceError("this is no YuNet that ONNX Runtime can run", path, "take another file") from error
    return network
