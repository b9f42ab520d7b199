"""What every detector does to a picture before and after its network."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]


def checked(image: Pixels) -> Pixels:
    """The picture with its bytes in row order. Raises ValueError unless it is RGB uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"a picture is RGB uint8 (H, W, 3), not {kind}")
    return np.ascontiguousarray(image)


def shrunk(image: Pixels, long_side: int) -> Pixels:
    """The picture, its longer side at most long_side pixels."""
    height, width = image.shape[:2]
    share = long_side / max(height, width)
    if share >= 1:
        return image
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def rescaled(found: Detections, seen: Pixels, image: Pixels) -> Detections:
    """What was found in the picture as seen by the network, in the pixels of the picture itself."""
    if seen.shape == image.shape:
        return found
    grow = np.array([image.shape[1] / seen.shape[1], image.shape[0] / seen.shape[0]], np.float32)
    return Detections(
        boxes=(found.boxes + np.float32(0.5)) * np.tile(grow, 2) - np.float32(0.5),
        landmarks=(found.landmarks + np.float32(0.5)) * grow - np.float32(0.5),
        scores=found.scores,
    )


def looked_at_again(
    found: Detections, seen: Pixels, look: Callable[[Pixels], Detections], border_share: float = 0.25
) -> Detections:
    """What was found, and where that is doubtful what `look` finds in the picture with a border round it.

    border_share: its width as a share of the shorter side. Doubtful is no face, and one larger than the shorter side:
    the networks squeeze a face that the frame cuts into wrong places. The border is grey, which is nought to them;
    faces found before are kept where they lie elsewhere.
    """
    side = min(seen.shape[:2])
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    if len(found) and (size[:, 0] * size[:, 1]).max() <= side**2:
        return found
    border, grey = int(side * border_share), (127, 127, 127)
    framed = cv2.copyMakeBorder(seen, border, border, border, border, cv2.BORDER_CONSTANT, value=grey)
    again = look(np.asarray(framed, dtype=np.uint8))
    if not len(again):
        return found
    boxes, landmarks = again.boxes - np.float32(border), again.landmarks - np.float32(border)
    shared = np.minimum(found.boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(found.boxes[:, None, :2], boxes[:, :2])
    elsewhere = (shared.min(axis=2) <= 0).all(axis=1)
    return best_first(
        np.concatenate([boxes, found.boxes[elsewhere]]),
        np.concatenate([landmarks, found.landmarks[elsewhere]]),
        np.concatenate([again.scores, found.scores[elsewhere]]),
    )


def looked_at_closer(
    found: Detections, seen: Pixels, look: Callable[[Pixels], Detections], long_side: int
) -> Detections:
    """What was found, and where that is nothing what `look` finds in the picture enlarged.

    long_side: pixels that the network takes in: a small picture's faces may be too small for it, but fit it enlarged,
    up to four times.
    """
    grow = min(4.0, long_side / max(seen.shape[:2]))
    if len(found) or grow < 1.5:
        return found
    larger = cv2.resize(seen, None, fx=grow, fy=grow, interpolation=cv2.INTER_CUBIC)
    return rescaled(look(np.asarray(larger, dtype=np.uint8)), larger, seen)  # type: ignore[arg-type]


def best_first(boxes: Array, landmarks: Array, scores: Array) -> Detections:
    """Faces in the order of their scores."""
    order = np.argsort(-scores, kind="stable")
    return Detections(
        np.ascontiguousarray(boxes[order], np.float32),
        np.ascontiguousarray(landmarks[order], np.float32),
        np.ascontiguousarray(scores[order], np.float32),
    )


def nothing() -> Detections:
    """No face."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
