"""Whether two faces are from one photograph: its copy, another cut or size of it, or its mirror image.

Landmarks of two copies differ by a pixel or two, so one picture is first brought onto the other by an affine map
(Evangelidis 2008, ECC), and then their details are correlated; what all faces share is in the coarse parts.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.photos.warp import recrop
from cosface_cli.maths.geometry import TEMPLATES, Template

Look = NDArray[np.uint8]

SIDE = 40  # pixels of a look
# Of 3,163 pairs of photos of 120 CelebA people ten reach .96, copies that are in the set, and no other one .9. Of 1,895
# copies that were made (JPEG of quality 30, half and twice the size, brighter by a quarter, cut by a fifth, turned by 3
# degrees, mirrored) 98 % reach .93.
COPY = 0.93
_COARSE = 2.5  # sigma, in pixels of a look
_COMMON = 0.6  # least share of a look that the other must cover

_ARCFACE = TEMPLATES["arcface"].landmarks
_WINDOW = Template("look", SIDE, SIDE, tuple((float(x), float(y)) for x, y in (_ARCFACE - (16, 25) + 0.5) / 2 - 0.5))


def look(crop: NDArray[np.uint8], have: Template) -> Look:
    """The middle of a face, (SIDE, SIDE) grey, from a crop of any template: all of them show it."""
    return np.asarray(cv2.cvtColor(recrop(crop, have, _WINDOW), cv2.COLOR_RGB2GRAY))


def likeness(one: Look, other: Look) -> Literal["copy", "mirror"] | None:
    """What `other` is of `one`, None for another photograph, of the same person or not."""
    as_it_is, mirrored = _correlation(one, other), _correlation(one, np.ascontiguousarray(other[:, ::-1]))
    if max(as_it_is, mirrored) < COPY:
        return None
    return "copy" if as_it_is >= mirrored else "mirror"


def _correlation(one: Look, other: Look) -> float:
    """Of the details of two looks where both show something, -1..1; -1 where no map brings one onto the other."""
    a, b = np.asarray(one, np.float32), np.asarray(other, np.float32)
    whole = np.full((SIDE, SIDE), 255, np.uint8)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(a, b, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, stop, whole, 5)
    except cv2.error:  # it does not converge, or a look has one colour
        return -1.0
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(b, matrix, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE), np.float32)
    common = cv2.warpAffine(np.ones_like(b), matrix, (SIDE, SIDE), flags=how) > 0.99
    if common.mean() < _COMMON:
        return -1.0
    x, y = (details - details.mean() for details in (_details(a)[common], _details(moved)[common]))
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length > 0 else -1.0


def _details(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), _COARSE), np.float64)
