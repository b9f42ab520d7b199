"""The inputs of MTCNN's networks: levels of the pyramid, and crops, as planes of (value - 127.5) / 128."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cv2.typing import MatLike


Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
Cuts = NDArray[np.int64]
Resize = Literal["area", "adaptive"]

_SAMPLE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class Resizer(Protocol):
    """Resizes one picture (H, W, 3), or parts of it, to planes (N, 3, height, width)."""

    def level(self, height: int, width: int) -> Planes:
        """The whole picture at this size."""
        ...

    def crops(self, cuts: Cuts, side: int) -> Planes:
        """Parts of the picture, each resized to side x side.

        cuts: (N, 4), left, top, right, bottom of slices. No part may be empty.
        """
        ...


class AreaResizer:
    """Fast, in 8 bits: halves the picture while it stays at least as large as needed, then resizes bilinearly.

    OpenCV's INTER_AREA gives the same within noise. It takes four times as long for sizes that do not divide evenly.
    """

    def __init__(self, image: Pixels) -> None:
        self._halves = [image]

    def level(self, height: int, width: int) -> Planes:
        """See Resizer."""
        rows, columns = self._halves[0].shape[:2]
        source = self._halved(min(rows / height, columns / width))
        return _planes([cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)])

    def crops(self, cuts: Cuts, side: int) -> Planes:
        """See Resizer."""
        return _planes([self._crop(left, top, right, bottom, side) for left, top, right, bottom in cuts.tolist()])

    def _crop(self, left: int, top: int, right: int, bottom: int, side: int) -> MatLike:
        rows, columns = self._halves[0].shape[:2]
        source = self._halved(min(right - left, bottom - top) / side)
        # pixel centres: column i of the crop is column grow i + shift of the source
        per_column, per_row = source.shape[1] / columns, source.shape[0] / rows
        grow_x, grow_y = (right - left) / side * per_column, (bottom - top) / side * per_row
        shift_x, shift_y = left * per_column + grow_x / 2 - 0.5, top * per_row + grow_y / 2 - 0.5
        where = np.array([[grow_x, 0, shift_x], [0, grow_y, shift_y]])
        return cv2.warpAffine(source, where, (side, side), flags=_SAMPLE, borderMode=cv2.BORDER_REPLICATE)

    def _halved(self, shrink: float) -> Pixels:
        """The picture, halved until a factor of 1 to 2 is left."""
        depth = max(0, math.frexp(shrink)[1] - 1)
        while len(self._halves) <= depth:
            last = self._halves[-1]
            size = (last.shape[1] + 1) // 2, (last.shape[0] + 1) // 2
            # at one half, bilinear is the mean of four
            self._halves.append(np.asarray(cv2.resize(last, size, interpolation=cv2.INTER_LINEAR), np.uint8))
        return self._halves[depth]


class AdaptiveResizer:
    """Like facenet-pytorch: torch's adaptive average pooling (interpolate with mode "area").

    With m inputs and n outputs, output i is the mean of the inputs floor(i m / n) to ceil((i + 1) m / n) - 1. So an
    enlarged crop repeats pixels. With a summed-area table, each mean takes four look-ups, whatever its size.
    """

    def __init__(self, image: Pixels) -> None:
        self._shape = image.shape[:2]
        # differences of 32-bit sums are correct even if the sums overflow
        self._sums = cv2.integral(image).view(np.uint32)

    def level(self, height: int, width: int) -> Planes:
        """See Resizer."""
        return self._pooled(np.array([[0, 0, self._shape[1], self._shape[0]]]), height, width)

    def crops(self, cuts: Cuts, side: int) -> Planes:
        """See Resizer."""
        return self._pooled(cuts, side, side)

    def _pooled(self, cuts: Cuts, height: int, width: int) -> Planes:
        left, right = (edge[:, None, :] for edge in _bins(cuts[:, 0], cuts[:, 2], width))
        top, bottom = (edge[:, :, None] for edge in _bins(cuts[:, 1], cuts[:, 3], height))
        sums = self._sums
        total = (sums[bottom, right] - sums[top, right]) - (sums[bottom, left] - sums[top, left])
        mean = total / ((bottom - top) * (right - left))[..., None]
        return np.ascontiguousarray(((mean - 127.5) / 128).transpose(0, 3, 1, 2), dtype=np.float32)


def _bins(start: Cuts, end: Cuts, count: int) -> tuple[Cuts, Cuts]:
    """For each of count outputs: its first input, and the input after its last one. Both are (N, count)."""
    size, i = (end - start)[:, None], np.arange(count)
    return start[:, None] + i * size // count, start[:, None] - (-(i + 1) * size // count)


def _planes(images: Sequence[MatLike]) -> Planes:
    return np.asarray(cv2.dnn.blobFromImages(images, 1 / 128, mean=(127.5, 127.5, 127.5)), dtype=np.float32)
