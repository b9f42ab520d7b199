"""Labelled crops for training: which crops, in which order, with which augmentation.

A new sampler or augmentation is a function in sampling.py or augment.py, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray


class Sampler(Protocol):
    """Chooses the crops of an epoch."""

    def __call__(
        self, labels: NDArray[np.int64], steps: int, batch_size: int, images: int, draw: Generator
    ) -> NDArray[np.int64]:
        """The crops of an epoch (steps * batch_size,), in order, from labels (N,). images: crops of an identity in a
        batch, if the sampler uses it."""
        ...


@dataclass(frozen=True, slots=True)
class Augment:
    """One way to change a crop at random."""

    name: str
    """Its name in AUGMENTATIONS."""
    change: Callable[[NDArray[np.uint8], Generator], NDArray[np.uint8]]
    """(H, W, 3) uint8 RGB and a random generator -> a picture of the same size."""
    chance: float
    """0..1: probability that a crop is changed."""


def _sampler(name: str, summary: str) -> Row:
    return Row(name, f"cosface_cli.train.crops.sampling:{name}", summary)


def _augment(name: str, summary: str) -> Row:
    return Row(name, f"cosface_cli.train.crops.augment:{name.upper()}", summary)


SAMPLERS: Table[Sampler] = Table(
    "sampler",
    _sampler("shuffled", "every crop once"),
    _sampler("balanced", "the same number of crops of each identity in a batch (Schroff 2015)"),
)

# in the order in which they are applied: position of the face, light, then the effects of a camera and of a file
AUGMENTATIONS: Table[Augment] = Table(
    "augmentation",
    _augment("crop", "shifted by up to 4 pixels"),
    _augment("colour", "brightness, contrast, saturation by up to 20 %"),
    _augment("grey", "without colour"),
    _augment("blur", "blurred by 0.5 to 2 pixels"),
    _augment("lowres", "resolution of 20 to 75 % of the side"),
    _augment("jpeg", "compressed as JPEG of quality 15 to 75"),
)
