"""How a head is held, as far as five landmarks tell. Landmarks are (5, 2) pixels as in maths.geometry.

Pitch is left out: five points cannot tell a raised chin from a long nose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def yaw(landmarks: ArrayLike) -> float:
    """Degrees in -90..90 by which the head is turned sideways: 0 facing the camera, positive to the picture's right.

    With e the vector from the left to the right eye, m their middle and n the nose,
        yaw = atan2((n - m) . e / |e|, |e| / 2),
    exact for a nose that stands out as far as the eyes stand from the middle, seen from afar: 45 where it lies over an
    eye. Noses differ, so it is a measure to sort by rather than an angle to build on. 0 where the eyes coincide.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes = points[1] - points[0]
    apart = float(np.hypot(*eyes))
    if apart == 0.0:
        return 0.0
    along = float((points[2] - (points[0] + points[1]) / 2) @ eyes) / apart
    return float(np.degrees(np.arctan2(along, apart / 2)))


def roll(landmarks: ArrayLike) -> float:
    """Degrees in -180..180 by which the line of the eyes is turned: 0 level, positive clockwise as seen."""
    points = np.asarray(landmarks, dtype=np.float64)
    x, y = points[1] - points[0]
    return float(np.degrees(np.arctan2(y, x)))
