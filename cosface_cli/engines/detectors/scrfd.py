"""SCRFD (Guo 2021, "Sample and Computation Redistribution for Efficient Face Detection") by insightface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import file_sha256
from cosface_cli.engines.detectors import Detections, Faces
from cosface_cli.engines.detectors.pictures import best_first, checked, looked_at_again, nothing, rescaled, shrunk
from cosface_cli.engines.runtime.onnx_session import PROVIDERS, session_options
from cosface_cli.errors import CosfaceError

INPUT = 640  # pixels a side, for a file with free input size


class Scrfd:
    """See the Detector protocol; open_scrfd makes one. Finds all faces whatever is wanted: it is a single pass."""

    def __init__(self, network: Any, name: str, long_side: int) -> None:
        self.name = name
        self.long_side = long_side
        self._network = network

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Faces = "all") -> list[Detections]:
        """See Detector.detect; the pictures may differ in size. Raises ValueError for what is no RGB uint8 picture."""
        return [self._detect(image) for image in map(checked, images)]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        # insightface letterboxes to its input's size, which leaves nothing of a strip thinner than this
        if min(height, width) * INPUT < 2 * max(height, width):
            return nothing()
        seen = shrunk(image, self.long_side)
        found = looked_at_again(self._run(seen), seen, self._run, border_share=0.5)
        return rescaled(found, seen, image)

    def _run(self, seen: NDArray[np.uint8]) -> Detections:
        boxes, landmarks = self._network.detect(np.ascontiguousarray(seen[..., ::-1]))
        return best_first(boxes[:, :4], landmarks, boxes[:, 4])


def open_scrfd(path: str | Path, score: float = 0.5, name: str = "scrfd") -> Scrfd:
    """SCRFD's ONNX file with five landmarks (nine outputs), or insightface's RetinaFace, which differs in its strides.

    score: the least one reported, 0..1; name: of the kind, as manifests record it; pictures are letterboxed to the
    file's input size. Raises CosfaceError for a file that insightface does not take for one of these.
    """
    from insightface.model_zoo import get_model

    path = Path(path)
    network = get_model(str(path), sess_options=session_options(), providers=PROVIDERS, static_shape_sessions=False)
    if network is None or getattr(network, "taskname", "") != "detection" or not network.use_kps:
        raise CosfaceError("no detector with five landmarks", path, "take a file whose name ends in _kps.onnx")
    size = network.input_size or (INPUT, INPUT)
    network.prepare(-1, input_size=size, det_thresh=score)
    return Scrfd(network, f"{name}-{file_sha256(path)[:8]}", max(size))
