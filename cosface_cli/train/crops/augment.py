"""Random changes of crops: the entries of AUGMENTATIONS, and mirroring.

The changes depend only on (seed, epoch, index), not on the number of processes or on an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import require_one_of
from cosface_cli.train.crops import AUGMENTATIONS, Augment

Pixels = NDArray[np.uint8]

_SHIFT = 4  # pixels at most, in each direction
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SWING = 0.2  # of brightness, contrast and saturation, up and down
_SIGMA = (0.5, 2.0)  # pixels
_SHRINK = (0.2, 0.75)  # side at low resolution: 22 to 84 of 112 pixels
_QUALITY = (15, 75)  # of JPEG


def flip(image: Pixels, draw: Generator) -> Pixels:
    """Mirrored (Wang 2018, section 4.1)."""
    return image[:, ::-1]


def crop(image: Pixels, draw: Generator) -> Pixels:
    """Shifted by up to 4 pixels in each direction; the edge pixels are repeated."""
    down, right = draw.integers(0, 2 * _SHIFT + 1, size=2)
    padded = cv2.copyMakeBorder(image, _SHIFT, _SHIFT, _SHIFT, _SHIFT, cv2.BORDER_REPLICATE)
    return _pixels(padded[down : down + image.shape[0], right : right + image.shape[1]])


def grey(image: Pixels, draw: Generator) -> Pixels:
    """Without colour."""
    return _pixels(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def colour(image: Pixels, draw: Generator) -> Pixels:
    """Brightness, contrast (about the mean) and saturation (about grey), each times 0.8 to 1.2."""
    brightness, contrast, saturation = draw.uniform(1 - _SWING, 1 + _SWING, size=3)
    mean = float(np.array(cv2.mean(image)[:3]) @ _LUMA)
    matrix = saturation * np.eye(3) + (1 - saturation) * _LUMA  # (3, 3): each channel towards or from grey
    offset = np.full((3, 1), brightness * (1 - contrast) * mean)
    return _pixels(cv2.transform(image, np.hstack([brightness * contrast * matrix, offset])))


def blur(image: Pixels, draw: Generator) -> Pixels:
    """Gaussian blur, sigma of 0.5 to 2 pixels."""
    return _pixels(cv2.GaussianBlur(image, (0, 0), draw.uniform(*_SIGMA), borderType=cv2.BORDER_REPLICATE))


def lowres(image: Pixels, draw: Generator) -> Pixels:
    """Downsampled to 20 to 75 % of the side by averaging, and upsampled by a random interpolation."""
    height, width = image.shape[:2]
    scale = draw.uniform(*_SHRINK)
    interpolation = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(draw.integers(3))]
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return _pixels(cv2.resize(small, (width, height), interpolation=interpolation))


def jpeg(image: Pixels, draw: Generator) -> Pixels:
    """Compressed as JPEG of quality 15 to 75, 4:2:0."""
    quality = int(draw.integers(_QUALITY[0], _QUALITY[1] + 1))
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", colorsubsampling="420", fastdct=False)
    return _pixels(simplejpeg.decode_jpeg(encoded, "RGB"))


FLIP = Augment("flip", flip, chance=0.5)
CROP = Augment("crop", crop, chance=1.0)
COLOUR = Augment("colour", colour, chance=0.5)
GREY = Augment("grey", grey, chance=0.1)
BLUR = Augment("blur", blur, chance=0.1)
LOWRES = Augment("lowres", lowres, chance=0.2)
JPEG = Augment("jpeg", jpeg, chance=0.2)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Changes that are applied one after another, each with its probability."""

    changes: tuple[Augment, ...] = (FLIP,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(augment.name for augment in self.changes)

    def __call__(self, image: Pixels, draw: Generator) -> Pixels:
        """The crop, changed at random."""
        for augment in self.changes:
            if augment.chance == 1 or draw.random() < augment.chance:
                image = augment.change(image, draw)
        return image


MIRRORED = Augmentation()  # the paper's
UNCHANGED = Augmentation(())


def augmentation(mirrored: bool, names: Sequence[str]) -> Augmentation:
    """Mirroring if `mirrored`, then the named changes in the order of the table. Raises CosfaceError for others."""
    for name in names:
        if name == FLIP.name:
            raise CosfaceError("flip is on without --augment", hint="leave it out of the list; --no-flip turns it off")
        require_one_of(name, AUGMENTATIONS.names, "--augment")
    changes = tuple(AUGMENTATIONS.load(name) for name in AUGMENTATIONS.names if name in names)
    return Augmentation((FLIP, *changes) if mirrored else changes)


def _pixels(image: ArrayLike) -> Pixels:
    return np.asarray(image, dtype=np.uint8)
