"""The random streams of a run. Each is a function of the run's seed and a position in the run, so that a run can be
resumed at any step without a saved random state."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What is drawn. The numbers must not change, or run folders would not be reproducible. 2 is not used."""

    ORDER = 0
    """The order of an epoch's crops: by epoch."""
    AUGMENTATION = 1
    """How a crop is changed: by epoch and index."""
    CLASSES = 3
    """The classes of a step of Partial FC: by step."""


def generator(stream: Stream, seed: int, *position: int) -> np.random.Generator:
    """The generator of a stream at one position in the run."""
    return np.random.default_rng([seed, int(stream), *position])
