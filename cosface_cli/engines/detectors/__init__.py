"""Detectors: pictures in; boxes, five landmarks and scores out. A new one is a file here and a row in DETECTORS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Faces = Literal["largest", "all", "center"]
"""Which faces of a photo are used."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces of one picture, best score first.

    boxes: (N, 4) float32, left, top, right, bottom in pixels, may reach over the edge;
    landmarks: (N, 5, 2) float32 pixels; scores: (N,) float32 in 0..1.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """name: as recorded in manifests, with the weights' checksum; long_side: pixels above which it wants less."""

    name: str
    long_side: int

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Faces = "all") -> list[Detections]:
        """The faces of each RGB picture (H, W, 3).

        want="largest" lets the detector leave out faces that cannot be the largest of their picture, "center" those
        that cannot be the one that shows the central pixel.
        """
        ...


DETECTORS: Table[Callable[..., Detector]] = Table(
    "detector",
    Row(
        "mtcnn",
        "cosface_cli.engines.detectors.mtcnn.detector:open_mtcnn",
        "the paper's; weights come with pip (Zhang 2016)",
    ),
    Row("yunet", "cosface_cli.engines.detectors.yunet:open_yunet", "fast, OpenCV's; give its .onnx by path"),
    Row("scrfd", "cosface_cli.engines.detectors.scrfd:open_scrfd", "insightface's; give its .onnx by path"),
    Row(
        "retinaface",
        "cosface_cli.engines.detectors.retinaface:open_retinaface",
        "MobileNet-0.25 .pth, or insightface's .onnx; by path",
    ),
)
