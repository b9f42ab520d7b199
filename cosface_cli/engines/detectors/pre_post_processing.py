"""What every detector does before and after its network: check, shrink, scale back, retry where it may have failed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]


def require_rgb(image: Pixels) -> Pixels:
    """The picture in C order. Raises ValueError unless it is RGB uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"a picture must be RGB uint8 (H, W, 3), got {kind}")
    return np.ascontiguousarray(image)


def shrink(image: Pixels, long_side: int) -> Pixels:
    """The picture with its longer side reduced to long_side pixels, or itself where it is not longer."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def rescale(detections: Detections, network_image: Pixels, image: Pixels) -> Detections:
    """Detections in the picture that the network got, as pixels of the original picture."""
    if network_image.shape == image.shape:
        return detections
    scale = np.array([image.shape[1] / network_image.shape[1], image.shape[0] / network_image.shape[0]], np.float32)
    return Detections(
        boxes=(detections.boxes + np.float32(0.5)) * np.tile(scale, 2) - np.float32(0.5),
        landmarks=(detections.landmarks + np.float32(0.5)) * scale - np.float32(0.5),
        scores=detections.scores,
    )


def retry_with_border(
    detections: Detections, image: Pixels, detect: Callable[[Pixels], Detections], border_share: float = 0.25
) -> Detections:
    """The detections; where they are doubtful, those that `detect` gives for the picture with a grey border around it.

    border_share: width of the border as a share of the shorter side. Doubtful are no face at all, and a face larger
    than the shorter side: the networks misplace a face that the frame cuts. Grey is zero to the networks. The first
    detections are kept where they do not overlap the new ones.
    """
    side = min(image.shape[:2])
    size = detections.boxes[:, 2:] - detections.boxes[:, :2]
    if len(detections) and (size[:, 0] * size[:, 1]).max() <= side**2:
        return detections
    border, grey = int(side * border_share), (127, 127, 127)
    framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT, value=grey)
    second = detect(np.asarray(framed, dtype=np.uint8))
    if not len(second):
        return detections
    boxes, landmarks = second.boxes - np.float32(border), second.landmarks - np.float32(border)
    low = np.maximum(detections.boxes[:, None, :2], boxes[:, :2])
    overlap = np.minimum(detections.boxes[:, None, 2:], boxes[:, 2:]) - low
    apart = (overlap.min(axis=2) <= 0).all(axis=1)
    return sort_by_score(
        np.concatenate([boxes, detections.boxes[apart]]),
        np.concatenate([landmarks, detections.landmarks[apart]]),
        np.concatenate([second.scores, detections.scores[apart]]),
    )


def retry_enlarged(
    detections: Detections, image: Pixels, detect: Callable[[Pixels], Detections], long_side: int
) -> Detections:
    """The detections; where there are none, those that `detect` gives for the picture enlarged, up to four times.

    long_side: pixels of the network's input. The faces of a small picture may be too small for the network.
    """
    scale = min(4.0, long_side / max(image.shape[:2]))
    if len(detections) or scale < 1.5:
        return detections
    enlarged = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    return rescale(detect(enlarged), enlarged, image)


def sort_by_score(boxes: Array, landmarks: Array, scores: Array) -> Detections:
    """Faces, best score first."""
    order = np.argsort(-scores, kind="stable")
    return Detections(
        np.ascontiguousarray(boxes[order], np.float32),
        np.ascontiguousarray(landmarks[order], np.float32),
        np.ascontiguousarray(scores[order], np.float32),
    )


def no_faces() -> Detections:
    """No detections."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
