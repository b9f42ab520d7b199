"""How training sees a crop: each change is a function (image, draws) -> image, of (H, W, 3) uint8 RGB, size kept.

The draws come from (seed, epoch, index) alone, so neither workers nor a stop change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.random import Generator
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import one_of

Pixels = NDArray[np.uint8]

_SHIFT = 4  # pixels at most, each way
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SWING = 0.2  # of brightness, contrast and saturation, each way
_SIGMA = (0.5, 2.0)  # pixels
_SHRINK = (0.2, 0.75)  # side that is left at low resolution: 22 to 84 of 112 pixels
_QUALITY = (15, 75)  # of JPEG


@dataclass(frozen=True, slots=True)
class Change:
    """chance: 0..1 that a crop is changed, each time it is seen; summary: for help."""

    change: Callable[[Pixels, Generator], Pixels]
    chance: float
    summary: str


def flip(image: Pixels, draw: Generator) -> Pixels:
    """Left for right (Wang 2018, section 4.1)."""
    return image[:, ::-1]


def crop(image: Pixels, draw: Generator) -> Pixels:
    """Moved by up to 4 pixels each way; the edge is drawn out into what comes free."""
    down, right = draw.integers(0, 2 * _SHIFT + 1, size=2)
    room = cv2.copyMakeBorder(image, _SHIFT, _SHIFT, _SHIFT, _SHIFT, cv2.BORDER_REPLICATE)
    return _pixels(room[down : down + image.shape[0], right : right + image.shape[1]])


def grey(image: Pixels, draw: Generator) -> Pixels:
    """Without colour."""
    return _pixels(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def colour(image: Pixels, draw: Generator) -> Pixels:
    """Brightness, contrast and saturation each times 0.8 to 1.2: contrast about the mean, saturation about grey."""
    brightness, contrast, saturation = draw.uniform(1 - _SWING, 1 + _SWING, size=3)
    mean = float(np.array(cv2.mean(image)[:3]) @ _LUMA)
    matrix = saturation * np.eye(3) + (1 - saturation) * _LUMA  # (3, 3): each channel towards or from grey
    offset = np.full((3, 1), brightness * (1 - contrast) * mean)
    return _pixels(cv2.transform(image, np.hstack([brightness * contrast * matrix, offset])))


def blur(image: Pixels, draw: Generator) -> Pixels:
    """By a Gaussian of 0.5 to 2 pixels."""
    return _pixels(cv2.GaussianBlur(image, (0, 0), draw.uniform(*_SIGMA), borderType=cv2.BORDER_REPLICATE))


def lowres(image: Pixels, draw: Generator) -> Pixels:
    """As from 20 to 75 % of the side: averaged down, and drawn out again as viewers do."""
    height, width = image.shape[:2]
    left = draw.uniform(*_SHRINK)
    way = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(draw.integers(3))]
    small = cv2.resize(image, (round(width * left), round(height * left)), interpolation=cv2.INTER_AREA)
    return _pixels(cv2.resize(small, (width, height), interpolation=way))


def jpeg(image: Pixels, draw: Generator) -> Pixels:
    """As from a JPEG of quality 15 to 75 with halved colour."""
    quality = int(draw.integers(_QUALITY[0], _QUALITY[1] + 1))
    packed = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", colorsubsampling="420", fastdct=False)
    return _pixels(simplejpeg.decode_jpeg(packed, "RGB"))


# in the order in which they are made: where the face is, how it is lit, what a camera and a file make of it
CHANGES: Mapping[str, Change] = {
    "flip": Change(flip, 0.5, "left for right"),
    "crop": Change(crop, 1.0, "moved by up to 4 pixels"),
    "colour": Change(colour, 0.5, "brightness, contrast, saturation by up to 20 %"),
    "grey": Change(grey, 0.1, "without colour"),
    "blur": Change(blur, 0.1, "by 0.5 to 2 pixels"),
    "lowres": Change(lowres, 0.2, "as from 20 to 75 % of the side"),
    "jpeg": Change(jpeg, 0.2, "as from a JPEG of quality 15 to 75"),
}
CHOICES = tuple(name for name in CHANGES if name != "flip")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """names: of CHANGES, in its order."""

    names: tuple[str, ...] = ("flip",)

    def __call__(self, image: Pixels, draw: Generator) -> Pixels:
        """The crop as it is seen once."""
        for name in self.names:
            made = CHANGES[name]
            if made.chance == 1 or draw.random() < made.chance:
                image = made.change(image, draw)
        return image


MIRRORED = Augmentation()  # the paper's


def augmentation(mirrored: bool, chosen: tuple[str, ...]) -> Augmentation:
    """flip where mirrored, and the chosen ones, whatever their order. Raises CosfaceError with the near miss."""
    for name in chosen:
        if name == "flip":
            raise CosfaceError("flip is on without --augment", hint="leave it out of the list; --no-flip turns it off")
        one_of(name, CHOICES, "--augment")
    return Augmentation(tuple(name for name in CHANGES if (mirrored if name == "flip" else name in chosen)))


def _pixels(image: Any) -> Pixels:
    return np.asarray(image, dtype=np.uint8)
