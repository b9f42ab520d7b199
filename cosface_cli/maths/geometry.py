"""Templates, and the similarity that maps five landmarks onto those of a template.

Landmarks are (5, 2) pixels, x then y, in the order left eye, right eye, nose, left and right mouth corner
as seen in the picture. A similarity is a (2, 3) matrix M with target = M[:, :2] @ source + M[:, 2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest

Array = NDArray[np.float64]

# Landmarks count as collinear if their second singular value is below this share of the first.
COLLINEAR = 0.05


@dataclass(frozen=True, slots=True)
class Template:
    """A crop geometry: size, and positions of the five landmarks."""

    name: str
    """Of the geometry."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    points: tuple[tuple[float, float], ...]
    """Five (x, y) in pixels."""

    @property
    def landmarks(self) -> Array:
        """The points as a (5, 2) array."""
        return np.array(self.points, dtype=np.float64)


_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_DLIB = ((45.99, 43.51), (104.09, 43.34), (74.58, 79.58), (48.65, 104.56), (100.87, 104.40))


def _moved(points: tuple[tuple[float, float], ...], dx: float, dy: float) -> tuple[tuple[float, float], ...]:
    return tuple((x + dx, y + dy) for x, y in points)


TEMPLATES = {
    template.name: template
    for template in (
        # dlib's window with a margin: 21 px left and right, 42 px above
        Template("wide", 192, 192, _moved(_DLIB, 21, 42)),
        Template("arcface", 112, 112, _ARCFACE),
        # Wang 2018, section 4.1: 96 wide, 112 high
        Template("sphereface", 96, 112, _moved(_ARCFACE, -8, 0)),
        # the mean of MTCNN's landmarks in dlib's 150 px chips, scaled by 1.08 about the centre
        Template("dlib", 150, 150, _DLIB),
    )
}


def template(name: str) -> Template:
    """The template of that name. Raises CosfaceError that suggests the most similar name."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise CosfaceError(f"unknown template {name!r}", hint=suggest(name, list(TEMPLATES))) from None


def are_degenerate(landmarks: ArrayLike) -> bool:
    """Whether landmarks (5, 2) coincide or lie on one line, so that they do not determine an upright face.

    The mouth must be at some distance from the line of the eyes: points on one line barely constrain the rotation.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if not np.isfinite(points).all():
        return True
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(singular[0] < 1.0 or singular[1] < COLLINEAR * singular[0])


def similarity(source: ArrayLike, target: ArrayLike) -> Array:
    """The similarity that maps points source (N, 2) to target (N, 2) with the least squared error.

    In the complex plane it is w = a z + b with a = sum conj(z - mean z)(w - mean w) / sum |z - mean z|^2 and
    b = mean w - a mean z: a rotation and a scaling, never a reflection (the proper case of Umeyama 1991, Eq. 40-42).
    Returns (2, 3). Raises ValueError if all source points coincide.
    """
    src, dst = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    src_mean, dst_mean = src.mean(axis=0), dst.mean(axis=0)
    (x, y), (u, v) = (src - src_mean).T, (dst - dst_mean).T
    norm = float(x @ x + y @ y)
    if not norm > 0.0:
        raise ValueError("the source points coincide")
    real, imag = float(x @ u + y @ v) / norm, float(x @ v - y @ u) / norm
    linear = np.array([[real, -imag], [imag, real]])
    return np.hstack([linear, (dst_mean - linear @ src_mean)[:, None]])


def apply(matrix: ArrayLike, points: ArrayLike) -> Array:
    """Points (..., 2) mapped by a similarity (2, 3)."""
    m = np.asarray(matrix, dtype=np.float64)
    return np.asarray(np.asarray(points, dtype=np.float64) @ m[:, :2].T + m[:, 2])


def invert(matrix: ArrayLike) -> Array:
    """The inverse (2, 3) of a similarity (2, 3)."""
    m = np.asarray(matrix, dtype=np.float64)
    linear = np.linalg.inv(m[:, :2])
    return np.hstack([linear, -(linear @ m[:, 2:])])


def growth(matrix: ArrayLike) -> float:
    """The factor by which a similarity scales lengths."""
    m = np.asarray(matrix, dtype=np.float64)
    return float(np.hypot(m[0, 0], m[1, 0]))


def covers(have: Template, need: Template, slack: float = 1.0) -> bool:
    """Whether a crop of template `have` contains the whole area of template `need`, within `slack` pixels."""
    corners = [(0, 0), (need.width, 0), (0, need.height), (need.width, need.height)]
    mapped = apply(similarity(need.landmarks, have.landmarks), corners)
    return bool(mapped.min() >= -slack and (mapped <= np.array([have.width, have.height]) + slack).all())
