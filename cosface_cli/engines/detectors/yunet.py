"""YuNet (Wu 2023, "YuNet: A Tiny Millisecond-level Face Detector") by OpenCV's FaceDetectorYN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_cache import file_sha256
from cosface_cli.engines.detectors import Detections, Want
from cosface_cli.engines.detectors.pictures import (
    best_first,
    checked,
    looked_at_again,
    looked_at_closer,
    nothing,
    rescaled,
    shrunk,
)
from cosface_cli.errors import CosfaceError

TOP_K = 5000  # candidates kept before suppression


class YuNet:
    """See the Detector protocol; open_yunet makes one. Finds all faces whatever is wanted: it is a single pass."""

    def __init__(self, network: Any, checksum: str, long_side: int) -> None:
        self.name = f"yunet-{checksum[:8]}"
        self.long_side = long_side
        self._network = network

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Want = "all") -> list[Detections]:
        """See Detector.detect; the pictures may differ in size. Raises ValueError for what is no RGB uint8 picture."""
        return [self._detect(image) for image in map(checked, images)]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        if not image.size:
            return nothing()
        seen = shrunk(image, self.long_side)
        found = looked_at_again(self._run(seen), seen, self._run)
        found = looked_at_closer(found, seen, self._run, self.long_side)
        return rescaled(found, seen, image)

    def _run(self, seen: NDArray[np.uint8]) -> Detections:
        self._network.setInputSize((seen.shape[1], seen.shape[0]))
        rows = self._network.detect(np.ascontiguousarray(seen[..., ::-1]))[1]
        if rows is None:
            return nothing()
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        # its right eye is the person's: the one on the left of the picture
        return best_first(boxes, rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14])


def open_yunet(path: str | Path, score: float = 0.6, overlap: float = 0.3, long_side: int = 640) -> YuNet:
    """YuNet's ONNX file, with free or with fixed input size.

    score: the least one reported, 0..1; overlap: intersection over union from which the weaker of two boxes is dropped;
    long_side: pixels to which larger pictures are shrunk, since a face that fills a large picture is not seen whole.
    Raises CosfaceError where OpenCV cannot run the file.
    """
    path = Path(path)
    try:
        with _quiet():
            network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score, overlap, TOP_K)
            network.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        problem = f"OpenCV {cv2.__version__} cannot run this model"
        raise CosfaceError(problem, path, "pip install -U opencv-python, or take another file") from error
    return YuNet(network, file_sha256(path), long_side)


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV 5 warns on stderr about every model that it loads."""
    logging: Any = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
