"""MTCNN, the paper's detector (Zhang 2016, "Joint Face Detection and Alignment ..."), on ONNX Runtime.

P-Net scans a pyramid of the picture in windows of 12 pixels. R-Net scores and moves P-Net's windows; O-Net does so
again and places the landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections, DetectorKind, Faces
from cosface_cli.engines.detectors.mtcnn import boxes as bx
from cosface_cli.engines.detectors.mtcnn.resize import AdaptiveResizer, AreaResizer, Resize, Resizer
from cosface_cli.engines.detectors.mtcnn.wheel_weights import CHECKSUM, SOURCES, Net, graph
from cosface_cli.engines.detectors.pre_post_processing import (
    no_faces,
    require_rgb,
    rescale,
    retry_with_border,
    shrink,
    sort_by_score,
)
from cosface_cli.engines.runtime.onnx_session import InferenceSession, open_session, session_options

Array = NDArray[np.float32]
Run = Mapping[Net, InferenceSession]

# P-Net reports a face in about three neighbouring levels. In one of them, the window's side is at least 1 / 1.2 of the
# face's side. Finer levels report only the same face and smaller faces, so they can be left out. By
# tests/bench/largest_face.py, the largest face is the same as with all levels in 778 of 779 photos, and the time is a
# third to a sixth.
REACH = 1.2
BATCH = 32  # crops per run: the layers of many more do not fit the CPU cache


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

    def detect(self, images: Sequence[NDArray[np.uint8]], faces: Faces = "all") -> list[Detections]:
        """See Detector.detect. The pictures may differ in size. Raises ValueError unless they are RGB uint8."""
        return [self._detect(image, faces) for image in map(require_rgb, images)]

    def _detect(self, image: NDArray[np.uint8], faces: Faces) -> Detections:
        if not image.size:
            return no_faces()
        small = shrink(image, self.long_side)
        height, width = small.shape[:2]
        # a shrunken picture is searched for the same faces, but not for faces smaller than P-Net was trained on
        smallest = max(self._min_face * height / image.shape[0], min(self._min_face, 20.0))
        scales = bx.scales(height, width, smallest, self._factor)
        cascade = self._cascade(small)
        detections = cascade.detect_all(scales) if faces == "all" else cascade.detect_one(scales, faces)
        detections = retry_with_border(detections, small, self._detect_large)
        return rescale(detections, small, image)

    def _detect_large(self, image: NDArray[np.uint8]) -> Detections:
        """The largest face, if it is at least a third of the picture's shorter side."""
        height, width = image.shape[:2]
        scales = bx.scales(height, width, max(min(height, width) / 3, bx.WINDOW), self._factor)
        return self._cascade(image).detect_one(scales, "largest")

    def _cascade(self, image: NDArray[np.uint8]) -> _Cascade:
        return _Cascade(self._sessions, self._thresholds, self._resizer(image), image.shape[0], image.shape[1])


def open_mtcnn(
    min_face: float = 20.0,
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    factor: float = 0.709,
    resize: Resize = "area",
    long_side: int = 1280,
) -> MTCNN:
    """MTCNN with the weights from the `mtcnn` wheel.

    min_face: smallest face that is searched for, in pixels, at least 12. thresholds: lowest probability in P-Net, R-Net
    and O-Net. factor: scale from one level of the pyramid to the next. resize: "area", or "adaptive", which gives the
    boxes of facenet-pytorch and takes 1.5 times as long. long_side: pixels to which larger pictures are shrunk.
    Raises ValueError for values out of range.
    """
    if not (min_face >= bx.WINDOW and 0 < factor < 1 and long_side >= bx.WINDOW and resize in ("area", "adaptive")):
        raise ValueError(f"out of range: {min_face=}, {factor=}, {long_side=}, {resize=}")
    options = session_options()
    options.enable_mem_pattern = False  # every level has another size
    sessions: dict[Net, InferenceSession] = {net: open_session(graph(net), options) for net in SOURCES}
    return MTCNN(sessions, min_face, thresholds, factor, resize, long_side)


def _open_packaged(min_face: float) -> MTCNN:
    """min_face below 12 pixels counts as 12, since P-Net finds no smaller face. Above 20 it counts as 20: the photo may
    have been shrunk, so the limit is applied to the faces of the photo later.
    """
    return open_mtcnn(min_face=min(max(min_face, float(bx.WINDOW)), 20.0))


PACKAGED_MTCNN = DetectorKind(open_packaged=_open_packaged)


class _Cascade:
    """The three networks on one picture. Each level adds windows of P-Net; R-Net and O-Net run once on each window."""

    def __init__(
        self, sessions: Run, thresholds: tuple[float, float, float], resizer: Resizer, height: int, width: int
    ) -> None:
        self._sessions, self._thresholds, self._resizer = sessions, thresholds, resizer
        self._height, self._width = height, width
        self._size = np.array([width, height], np.float32)
        self._windows = np.zeros((0, 9), np.float32)
        self._rnet = np.zeros(
            (0, 5), np.float32
        )  # probability and regression of each window; NaN until R-Net has run on it
        self._onet = np.zeros((0, 15), np.float32)  # the same of O-Net, and its landmarks

    def detect_all(self, scales: Sequence[float]) -> Detections:
        """The faces of all levels of the pyramid."""
        for scale in scales:
            self._run_pnet(scale)
        return self._run_rnet_and_onet()

    def detect_one(self, scales: Sequence[float], faces: Faces) -> Detections:
        """Faces from the coarsest level to finer ones, until no finer level can show the wanted face.

        faces: "largest", by the area inside the picture; or "center", the face that shows the central pixel.
        """
        detections, side = no_faces(), 0.0
        for scale in reversed(scales):
            if side > REACH * bx.WINDOW / scale:
                break
            if self._run_pnet(scale):
                detections = self._run_rnet_and_onet()
                boxes = detections.boxes
                if faces == "center":
                    boxes = boxes[self._central(boxes)]
                width, height = (np.minimum(boxes[:, 2:], self._size) - np.maximum(boxes[:, :2], 0)).T
                side = float(np.sqrt(np.max(width * height, initial=0.0)))
        return detections

    def _central(self, boxes: Array) -> NDArray[np.bool_]:
        """(N,): which boxes contain the central pixel."""
        middle = self._size / 2
        return np.asarray(((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1))

    def _run_pnet(self, scale: float) -> int:
        """Run P-Net on one level and add its windows. Returns how many."""
        planes = self._resizer.level(int(self._height * scale + 1), int(self._width * scale + 1))
        prob, reg = self._sessions["pnet"].run(["prob", "box"], {"x": planes})
        windows = bx.windows(prob[0, 0], reg[0], scale, self._thresholds[0])
        windows = windows[bx.suppress(windows[:, :4], windows[:, 4], 0.5)]
        self._windows = np.concatenate([self._windows, windows])
        self._rnet = np.concatenate([self._rnet, np.full((len(windows), 5), np.nan, np.float32)])
        self._onet = np.concatenate([self._onet, np.full((len(windows), 15), np.nan, np.float32)])
        return len(windows)

    def _run_rnet_and_onet(self) -> Detections:
        """The faces among all windows so far."""
        windows = self._windows
        ids = bx.suppress(windows[:, :4], windows[:, 4], 0.7)
        boxes = bx.squared(bx.regressed(windows[ids, :4], windows[ids, 5:], inclusive=False))
        self._fill_in("rnet", 24, boxes, ids, self._rnet)

        keep = self._rnet[ids, 0] > self._thresholds[1]
        ids, boxes = ids[keep], boxes[keep]
        keep = bx.suppress(boxes, self._rnet[ids, 0], 0.7)
        ids = ids[keep]
        boxes = bx.squared(bx.regressed(boxes[keep], self._rnet[ids, 1:]))
        self._fill_in("onet", 48, boxes, ids, self._onet)

        keep = self._onet[ids, 0] > self._thresholds[2]
        boxes, (scores, reg, points) = boxes[keep], np.split(self._onet[ids[keep]], [1, 5], axis=1)
        size = boxes[:, 2:] - boxes[:, :2] + 1
        points = points.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
        boxes = bx.regressed(boxes, reg)
        keep = bx.suppress_nested(boxes, scores[:, 0], 0.7)
        return sort_by_score(boxes[keep], points[keep], scores[keep, 0])

    def _fill_in(self, net: Net, side: int, boxes: Array, ids: bx.Ints, results: Array) -> None:
        """Run a network on the windows `ids` that it has not run on yet, and write its results (all windows, ...).

        boxes: of these windows. A box outside the picture keeps its NaN, which passes no threshold.
        """
        new = np.isnan(results[ids, 0])
        ids, cuts = ids[new], bx.inside(boxes[new], self._height, self._width)
        visible = (cuts[:, 2:] > cuts[:, :2]).all(axis=1)
        ids, cuts = ids[visible], cuts[visible]
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            planes = self._resizer.crops(cuts[part], side)
            results[ids[part]] = np.concatenate(self._sessions[net].run(None, {"x": planes}), axis=1)
