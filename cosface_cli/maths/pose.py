"""Yaw and roll of a head from five landmarks. Landmarks are (5, 2) pixels as in maths.geometry.

There is no pitch: with five points a raised chin and a long nose look the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def yaw(landmarks: ArrayLike) -> float:
    """Yaw of the head in degrees, -90..90: 0 facing the camera, positive if turned to the right side of the picture.

    With e the vector from the left to the right eye, m the point halfway between them and n the nose,
        yaw = atan2((n - m) . e / |e|, |e| / 2).
    It is exact for a distant camera and a nose as long as half the distance of the eyes: then it is 45 if the nose is
    in front of an eye. Noses differ, so use it for sorting, not as a measured angle. 0 if the eyes coincide.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes = points[1] - points[0]
    distance = float(np.hypot(*eyes))
    if distance == 0.0:
        return 0.0
    along = float((points[2] - (points[0] + points[1]) / 2) @ eyes) / distance
    return float(np.degrees(np.arctan2(along, distance / 2)))


def roll(landmarks: ArrayLike) -> float:
    """Rotation of the line of the eyes in degrees, -180..180: 0 level, positive clockwise in the picture."""
    points = np.asarray(landmarks, dtype=np.float64)
    x, y = points[1] - points[0]
    return float(np.degrees(np.arctan2(y, x)))
