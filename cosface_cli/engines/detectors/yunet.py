"""YuNet (Wu 2023, "YuNet: A Tiny Millisecond-level Face Detector"), OpenCV's ONNX file, on ONNX Runtime.

It gives the same numbers as OpenCV's FaceDetectorYN in less than half the CPU time. Each cell of three grids (8, 16 and
32 pixels wide) reports one face. Its score is sqrt(cls * obj); box and landmarks are in cells, from the cell's corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.engines.detectors import Detections, DetectorKind, Faces
from cosface_cli.engines.detectors.pre_post_processing import (
    no_faces,
    require_rgb,
    rescale,
    retry_enlarged,
    retry_with_border,
    shrink,
    sort_by_score,
)
from cosface_cli.engines.runtime.onnx_session import InferenceSession, open_session
from cosface_cli.errors import CosfaceError

STRIDES = (8, 16, 32)
OUTPUTS = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
FIRST_LOOK = 320  # pixels of the longer side: enough to find the largest face of nearly every photo

Array = NDArray[np.float32]


class YuNet:
    """See the Detector protocol; open_yunet makes one."""

    def __init__(self, path: Path, score: float, overlap: float, long_side: int) -> None:
        self.name = f"yunet-{file_sha256(path)[:8]}"
        self._session = open_session(path)
        network_input = self._session.get_inputs()[0]
        side = network_input.shape[-1]
        self._fixed = side if isinstance(side, int) else None
        self._input = network_input.name
        self.long_side = min(long_side, self._fixed or long_side)
        self._score = score
        self._overlap = overlap

    def detect(self, images: Sequence[NDArray[np.uint8]], faces: Faces = "all") -> list[Detections]:
        """See Detector.detect. The pictures may differ in size. Raises ValueError unless they are RGB uint8.

        For faces="largest" a small copy is searched first, and the picture itself only where the copy shows no face.
        """
        return [self._detect(image, faces) for image in map(require_rgb, images)]

    def _detect(self, image: NDArray[np.uint8], faces: Faces) -> Detections:
        if not image.size:
            return no_faces()
        if faces == "largest" and self._fixed is None and max(image.shape[:2]) > FIRST_LOOK:
            small = shrink(image, min(FIRST_LOOK, self.long_side))
            detections = self._run(small)
            if len(detections) and _fits(detections, small):
                return rescale(detections, small, image)
        small = shrink(image, self.long_side)
        detections = retry_with_border(self._run(small), small, self._run)
        detections = retry_enlarged(detections, small, self._run, self.long_side)
        return rescale(detections, small, image)

    def _run(self, image: NDArray[np.uint8]) -> Detections:
        if self._fixed is not None and max(image.shape[:2]) > self._fixed:  # a border was added
            small = shrink(image, self._fixed)
            return rescale(self._run(small), small, image)
        height, width = (self._fixed or -(-side // 32) * 32 for side in image.shape[:2])
        planes = np.zeros((1, 3, height, width), np.float32)
        planes[0, :, : image.shape[0], : image.shape[1]] = image[:, :, ::-1].transpose(2, 0, 1)  # trained on BGR
        out = dict(zip(OUTPUTS, self._session.run(OUTPUTS, {self._input: planes}), strict=True))
        candidates = [self._grid(out, stride, width // stride) for stride in STRIDES]
        boxes, points, scores = (np.concatenate(part) for part in zip(*candidates, strict=True))
        sizes = boxes[:, 2:] - boxes[:, :2]
        corners = np.concatenate([boxes[:, :2], sizes], axis=1)
        keep = np.asarray(cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), self._score, self._overlap), dtype=int)
        return sort_by_score(boxes[keep], points[keep], scores[keep]) if len(keep) else no_faces()

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


def _fits(detections: Detections, image: NDArray[np.uint8]) -> bool:
    """Whether no face is larger than the picture's shorter side, so that the picture shows each face whole."""
    size = detections.boxes[:, 2:] - detections.boxes[:, :2]
    return bool((size[:, 0] * size[:, 1]).max() <= min(image.shape[:2]) ** 2)


def open_yunet(path: Path, score: float = 0.6, overlap: float = 0.3, long_side: int = 640) -> YuNet:
    """YuNet's ONNX file, with free or fixed input size.

    score: the lowest score reported, 0..1; overlap: intersection over union above which the weaker of two boxes is
    dropped; long_side: pixels to which larger pictures are shrunk, since the network misses a face that fills a large
    picture. Raises CosfaceError for a file that is not such a model.
    """
    network = YuNet(path, score, overlap, long_side)
    try:
        network.detect([np.zeros((64, 64, 3), np.uint8)])
    except Exception as error:  # the runtime's own exceptions share no base class
        raise CosfaceError("ONNX Runtime cannot run this YuNet", path, "download the file again") from error
    return network


def _recognises(session: InferenceSession) -> bool:
    return {output.name for output in session.get_outputs()} == set(OUTPUTS)


YUNET = DetectorKind(recognises=_recognises, open_file=open_yunet)
