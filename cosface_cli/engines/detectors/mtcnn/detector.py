"""MTCNN, the paper's detector (Zhang 2016, "Joint Face Detection and Alignment ..."), on ONNX Runtime.

P-Net looks at a pyramid of the picture through windows of 12 pixels; R-Net judges and moves what it reports, O-Net
does so again and sets the landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections, Faces
from cosface_cli.engines.detectors.mtcnn import boxes as bx
from cosface_cli.engines.detectors.mtcnn.resize import AdaptiveResizer, AreaResizer, Resize, Resizer
from cosface_cli.engines.detectors.mtcnn.weights import CHECKSUM, SOURCES, Net, graph
from cosface_cli.engines.detectors.pictures import best_first, checked, looked_at_again, nothing, rescaled, shrunk
from cosface_cli.engines.runtime.onnx_session import open_session, session_options

Array = NDArray[np.float32]
Run = Mapping[Net, Any]

# A face is seen in about three neighbouring levels, one of whose windows reaches 1 / 1.2 of its side: below that, only
# itself and smaller ones are found. tests/bench/largest_face.py compares with the full walk: the same largest face in
# 778 of 779 photos, at a third to a sixth of the time.
REACH = 1.2
BATCH = 32  # crops a run: of many more the layers leave the cache


class MTCNN:
    """See the Detector protocol; open_mtcnn makes one."""

    def __init__(
        self,
        sessions: Run,
        min_face: float,
        thresholds: tuple[float, float, float],
        factor: float,
        resize: Resize,
        long_side: int,
    ) -> None:
        self.name = f"mtcnn-{CHECKSUM}" + ("" if resize == "area" else f"-{resize}")
        self.long_side = long_side
        self._sessions = sessions
        self._min_face = min_face
        self._thresholds = thresholds
        self._factor = factor
        self._resizer = AreaResizer if resize == "area" else AdaptiveResizer

    def detect(self, images: Sequence[NDArray[np.uint8]], want: Faces = "all") -> list[Detections]:
        """See Detector.detect; the pictures may differ in size. Raises ValueError for what is no RGB uint8 picture."""
        return [self._detect(image, want) for image in map(checked, images)]

    def _detect(self, image: NDArray[np.uint8], want: Faces) -> Detections:
        if not image.size:
            return nothing()
        seen = shrunk(image, self.long_side)
        height, width = seen.shape[:2]
        # a shrunken picture is searched for the same faces, but not for smaller ones than P-Net was made for
        smallest = max(self._min_face * height / image.shape[0], min(self._min_face, 20.0))
        scales = bx.scales(height, width, smallest, self._factor)
        cascade = self._cascade(seen)
        found = cascade.all(scales) if want == "all" else cascade.until_settled(scales, want)
        found = looked_at_again(found, seen, self._fills)
        return rescaled(found, seen, image)

    def _fills(self, framed: NDArray[np.uint8]) -> Detections:
        """A face that fills the picture."""
        height, width = framed.shape[:2]
        scales = bx.scales(height, width, max(min(height, width) / 3, bx.WINDOW), self._factor)
        return self._cascade(framed).until_settled(scales, "largest")

    def _cascade(self, seen: NDArray[np.uint8]) -> _Cascade:
        return _Cascade(self._sessions, self._thresholds, self._resizer(seen), seen.shape[0], seen.shape[1])


def open_mtcnn(
    min_face: float = 20.0,
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
    resize: Resize = "area",
    long_side: int = 1280,
) -> MTCNN:
    """MTCNN with the weights that pip brought.

    min_face: pixels, of the smallest face looked for, at least 12; thresholds: the least probability in P-Net, R-Net
    and O-Net; factor: from one level of the pyramid to the next; resize: "area", or "adaptive" for boxes equal to
    facenet-pytorch's, at 1.5 times the time; long_side: pixels to which larger pictures are shrunk.
    """
    if not (min_face >= bx.WINDOW and 0 < factor < 1 and long_side >= bx.WINDOW and resize in ("area", "adaptive")):
        raise ValueError(f"out of range: {min_face=}, {factor=}, {long_side=}, {resize=}")
    options = session_options()
    options.enable_mem_pattern = False  # every level has another size
    sessions: dict[Net, Any] = {net: open_session(graph(net), options) for net in SOURCES}
    return MTCNN(sessions, min_face, thresholds, factor, resize, long_side)


class _Cascade:
    """One picture on its way through the networks. R-Net and O-Net are asked once about each of P-Net's windows,
    however often the pool is judged anew while the walk down the pyramid adds to it.
    """

    def __init__(
        self, sessions: Run, thresholds: tuple[float, float, float], resizer: Resizer, height: int, width: int
    ) -> None:
        self._sessions, self._thresholds, self._resizer = sessions, thresholds, resizer
        self._height, self._width = height, width
        self._size = np.array([width, height], np.float32)
        self._windows = np.zeros((0, 9), np.float32)
        self._refined = np.zeros((0, 5), np.float32)  # R-Net's probability and regression, NaN before it was asked
        self._placed = np.zeros((0, 15), np.float32)  # the same of O-Net, with its points

    def all(self, scales: Sequence[float]) -> Detections:
        """Every face that the whole pyramid shows."""
        for scale in scales:
            self._look(scale)
        return self._judge()

    def until_settled(self, scales: Sequence[float], want: Faces) -> Detections:
        """From the coarsest level down, until what was found is larger than what the next can still show.

        want: "largest", by the area that lies in the picture; or "center", the face that shows the central pixel.
        """
        found, side = nothing(), 0.0
        for scale in reversed(scales):
            if side > REACH * bx.WINDOW / scale:
                break
            if self._look(scale):
                found = self._judge()
                counted = found.boxes if want == "largest" else found.boxes[self._central(found.boxes)]
                width, height = (np.minimum(counted[:, 2:], self._size) - np.maximum(counted[:, :2], 0)).T
                side = float(np.sqrt(np.max(width * height, initial=0.0)))
        return found

    def _central(self, boxes: Array) -> NDArray[np.bool_]:
        """Which boxes hold the central pixel."""
        middle = self._size / 2
        return np.asarray(((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1))

    def _look(self, scale: float) -> int:
        """P-Net on one level: adds its windows to the pool and says how many."""
        planes = self._resizer.level(int(self._height * scale + 1), int(self._width * scale + 1))
        prob, reg = self._sessions["pnet"].run(["prob", "box"], {"x": planes})
        found = bx.windows(prob[0, 0], reg[0], scale, self._thresholds[0])
        found = found[bx.suppress(found[:, :4], found[:, 4], 0.5)]
        self._windows = np.concatenate([self._windows, found])
        self._refined = np.concatenate([self._refined, np.full((len(found), 5), np.nan, np.float32)])
        self._placed = np.concatenate([self._placed, np.full((len(found), 15), np.nan, np.float32)])
        return len(found)

    def _judge(self) -> Detections:
        """R-Net and O-Net on the pool."""
        windows = self._windows
        ids = bx.suppress(windows[:, :4], windows[:, 4], 0.7)
        boxes = bx.squared(bx.regressed(windows[ids, :4], windows[ids, 5:], inclusive=False))
        self._ask("rnet", 24, boxes, ids, self._refined)

        keep = self._refined[ids, 0] > self._thresholds[1]
        ids, boxes = ids[keep], boxes[keep]
        keep = bx.suppress(boxes, self._refined[ids, 0], 0.7)
        ids = ids[keep]
        boxes = bx.squared(bx.regressed(boxes[keep], self._refined[ids, 1:]))
        self._ask("onet", 48, boxes, ids, self._placed)

        keep = self._placed[ids, 0] > self._thresholds[2]
        boxes, (scores, reg, points) = boxes[keep], np.split(self._placed[ids[keep]], [1, 5], axis=1)
        size = boxes[:, 2:] - boxes[:, :2] + 1
        points = points.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
        boxes = bx.regressed(boxes, reg)
        keep = bx.suppress_nested(boxes, scores[:, 0], 0.7)
        return best_first(boxes[keep], points[keep], scores[keep, 0])

    def _ask(self, net: Net, side: int, boxes: Array, ids: bx.Ints, answers: Array) -> None:
        """Fill in the answers (all candidates, ...) of those of ids whose boxes the network has not seen yet.

        A box outside the picture keeps its NaN, which passes no threshold.
        """
        new = np.isnan(answers[ids, 0])
        ids, cuts = ids[new], bx.inside(boxes[new], self._height, self._width)
        there = (cuts[:, 2:] > cuts[:, :2]).all(axis=1)
        ids, cuts = ids[there], cuts[there]
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            planes = self._resizer.crops(cuts[part], side)
            answers[ids[part]] = np.concatenate(self._sessions[net].run(None, {"x": planes}), axis=1)
