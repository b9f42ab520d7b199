"""Which faces of a photo are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cosface_cli.artifacts.pictures import MAX_MEGAPIXELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a photo and its faces must reach.

    Faces that are too small or score too low are dropped before one is chosen. Sharpness and yaw are checked on the
    chosen face: if it fails, the photo is rejected, and no other face takes its place.
    """

    min_face: float = 20.0
    """Pixels of the longer side of the face's box."""
    min_score: float = 0.0
    """Score of the detector, 0..1."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Larger photos are rejected without being decoded."""
    min_sharpness: float = 0.0
    """Variance of the Laplacian of the crop; 0 accepts every face."""
    max_yaw: float = 90.0
    """Degrees to either side; 90 accepts every face."""

    @property
    def settings(self) -> str:
        """As recorded in manifests and stores. Sharpness and yaw appear only where they can refuse a face."""
        sharpness = f" min_sharpness={self.min_sharpness:g}" if self.min_sharpness > 0 else ""
        yaw = f" max_yaw={self.max_yaw:g}" if self.max_yaw < 90 else ""
        return f"min_face={self.min_face:g} min_score={self.min_score:g}{sharpness}{yaw}"


class HasLimits(Protocol):
    """A config with all the options that Limits is made from."""

    @property
    def min_face(self) -> float: ...
    @property
    def min_score(self) -> float: ...
    @property
    def max_megapixels(self) -> float: ...
    @property
    def min_sharpness(self) -> float: ...
    @property
    def max_yaw(self) -> float: ...


def limits_of(config: HasLimits) -> Limits:
    """The limits that a config sets."""
    return Limits(
        min_face=config.min_face,
        min_score=config.min_score,
        max_megapixels=config.max_megapixels,
        min_sharpness=config.min_sharpness,
        max_yaw=config.max_yaw,
    )
