"""SCRFD (Guo 2021, "Sample and Computation Redistribution for Efficient Face Detection") by insightface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.engines.detectors import Detections, DetectorKind, Faces
from cosface_cli.engines.detectors.pre_post_processing import (
    no_faces,
    require_rgb,
    rescale,
    retry_with_border,
    shrink,
    sort_by_score,
)
from cosface_cli.engines.runtime.onnx_session import PROVIDERS, InferenceSession, session_options
from cosface_cli.errors import CosfaceError

INPUT = 640  # pixels a side, for a file with free input size


class InsightfaceDetector:
    """See the Detector protocol; open_insightface makes one. It always finds all faces, in a single pass."""

    def __init__(self, network: Any, name: str, long_side: int) -> None:
        self.name = name
        self.long_side = long_side
        self._network = network

    def detect(self, images: Sequence[NDArray[np.uint8]], faces: Faces = "all") -> list[Detections]:
        """See Detector.detect. The pictures may differ in size. Raises ValueError unless they are RGB uint8."""
        return [self._detect(image) for image in map(require_rgb, images)]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        # insightface letterboxes to the input size of the network: a thinner strip would vanish
        if min(height, width) * INPUT < 2 * max(height, width):
            return no_faces()
        small = shrink(image, self.long_side)
        detections = retry_with_border(self._run(small), small, self._run, border_share=0.5)
        return rescale(detections, small, image)

    def _run(self, image: NDArray[np.uint8]) -> Detections:
        boxes, landmarks = self._network.detect(np.ascontiguousarray(image[..., ::-1]))
        return sort_by_score(boxes[:, :4], landmarks, boxes[:, 4])


def has_insightface_outputs(session: InferenceSession, strides: int) -> bool:
    """Whether a session has one input, and gives scores, boxes and landmarks, each at so many strides."""
    widths = [1] * strides + [4] * strides + [10] * strides
    return len(session.get_inputs()) == 1 and [output.shape[-1] for output in session.get_outputs()] == widths


def open_insightface(path: Path, name: str = "scrfd", score: float = 0.5) -> InsightfaceDetector:
    """A detector with five landmarks that insightface can run. Pictures are letterboxed to the file's input size.

    name: the kind, as manifests record it; score: the lowest score reported, 0..1. Raises CosfaceError for a file that
    insightface does not recognise.
    """
    from insightface.model_zoo import get_model

    network = get_model(str(path), sess_options=session_options(), providers=PROVIDERS, static_shape_sessions=False)
    if network is None or getattr(network, "taskname", "") != "detection" or not network.use_kps:
        raise CosfaceError(
            "insightface finds no detector with five landmarks in it", path, "take a file named *_kps.onnx"
        )
    size = network.input_size or (INPUT, INPUT)
    network.prepare(-1, input_size=size, det_thresh=score)
    return InsightfaceDetector(network, f"{name}-{file_sha256(path)[:8]}", max(size))


SCRFD = DetectorKind(recognises=lambda session: has_insightface_outputs(session, strides=3), open_file=open_insightface)
