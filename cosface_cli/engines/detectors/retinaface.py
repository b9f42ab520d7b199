"""RetinaFace (Deng 2020): the .pth of Pytorch_Retinaface with MobileNet-0.25, or insightface's ONNX files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import cached, file_sha256
from cosface_cli.engines.detectors import Detections, Detector, Faces
from cosface_cli.engines.detectors import retinaface_boxes as bx
from cosface_cli.engines.detectors.mtcnn.boxes import suppress
from cosface_cli.engines.detectors.pictures import (
    best_first,
    checked,
    looked_at_again,
    looked_at_closer,
    nothing,
    rescaled,
    shrunk,
)
from cosface_cli.engines.detectors.scrfd import open_scrfd
from cosface_cli.engines.runtime.onnx_session import (
    PROVIDERS,
    InferenceSession,
    SessionOptions,
    open_session,
    session_options,
)

CONVERTER = 1  # counts up whenever the bytes of a cached graph would change
# torch's first bytes, since its version 1.6 and before
CHECKPOINTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")


class RetinaFace:
    """See the Detector protocol; open_retinaface makes one. Finds all faces whatever is wanted."""

    def __init__(self, session: InferenceSession, name: str, score: float, overlap: float, long_side: int) -> None:
        self.name = name
        self.long_side = long_side
        self._session = session
        self._sides: bx.Sides = json.loads(session.get_modelmeta().custom_metadata_map["sides"])
        self._score = score
        self._overlap = overlap

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Faces = "all") -> list[Detections]:
        """See Detector.detect; the pictures may differ in size. Raises ValueError for what is no RGB uint8 picture.

        One at a time: on one thread a batch of four takes a seventh longer, since its maps leave the cache.
        """
        return [self._detect(image) for image in map(checked, images)]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        if not image.size:
            return nothing()
        seen = shrunk(image, self.long_side)
        found = self._run(seen)
        if max(seen.shape) > self.long_side / 2:  # of a face larger than its largest prior it takes a part for all
            found = together(self._coarse(seen), found)
        found = looked_at_again(found, seen, self._coarse)
        found = looked_at_closer(found, seen, self._run, self.long_side)
        return rescaled(found, seen, image)

    def _coarse(self, seen: NDArray[np.uint8]) -> Detections:
        """The faces larger than half of the shorter side, in a picture of half the size that fits the network."""
        small = shrunk(seen, self.long_side // 2)
        found = rescaled(self._run(small), small, seen)
        large = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0.0) > min(seen.shape[:2]) / 2
        return Detections(found.boxes[large], found.landmarks[large], found.scores[large])

    def _run(self, seen: NDArray[np.uint8]) -> Detections:
        scores, boxes, points = (found[0] for found in self._session.run(["score", "box", "points"], {"x": seen[None]}))
        prior = bx.priors(seen.shape[0], seen.shape[1], self._sides)
        sure = np.flatnonzero(scores >= self._score)
        boxes, landmarks = bx.decoded(prior[sure], boxes[sure], points[sure])
        keep = suppress(boxes, scores[sure], self._overlap)
        return best_first(boxes[keep], landmarks[keep], scores[sure][keep])


def together(large: Detections, found: Detections) -> Detections:
    """The large faces, and what else was found without lying for more than half in one of them."""
    low = np.maximum(found.boxes[:, None, :2], large.boxes[:, :2])
    size = np.maximum(np.minimum(found.boxes[:, None, 2:], large.boxes[:, 2:]) - low, 0)
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    apart = (size.prod(axis=2) <= area[:, None] / 2).all(axis=1)
    return best_first(
        np.concatenate([large.boxes, found.boxes[apart]]),
        np.concatenate([large.landmarks, found.landmarks[apart]]),
        np.concatenate([large.scores, found.scores[apart]]),
    )


def open_retinaface(path: str | Path, score: float = 0.6, overlap: float = 0.4, long_side: int = 640) -> Detector:
    """A RetinaFace file: torch's checkpoint with MobileNet-0.25, or insightface's ONNX file with five landmarks.

    score: the least one reported, 0..1; for a checkpoint, overlap: intersection over union from which the weaker of
    two boxes is dropped, and long_side: pixels to which larger pictures are shrunk. A checkpoint is converted once,
    into the model cache; no code in it is run. Raises CosfaceError for a file of another kind.
    """
    path = Path(path)
    if not is_checkpoint(path):
        return open_scrfd(path, score, name="retinaface")
    checksum = file_sha256(path)

    def build() -> bytes:
        from cosface_cli.engines.detectors.retinaface_convert import convert

        return convert(path)

    graph = cached(f"retinaface-{checksum[:16]}-v{CONVERTER}.onnx", build)
    return RetinaFace(open_session(graph, _options()), f"retinaface-{checksum[:8]}", score, overlap, long_side)


def open_graph(content: bytes) -> InferenceSession:
    """A session for a checkpoint that is being converted."""
    return InferenceSession(content, _options(), providers=PROVIDERS)


def _options() -> SessionOptions:
    options = session_options()
    options.enable_mem_pattern = False  # pictures differ in size
    return options


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as torch's checkpoints do."""
    try:
        with path.open("rb") as handle:
            return handle.read(16).startswith(CHECKPOINTS)
    except OSError:  # who reads it next says what is wrong
        return False
