"""The crops of an epoch and their order: the entries of SAMPLERS, and the size of batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.train.crops import SAMPLERS

Ints = NDArray[np.int64]

IMAGES = 4  # of an identity in a batch
_BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampler and the size of its batches."""

    name: str = "shuffled"
    """A name of SAMPLERS."""
    images: int = IMAGES
    """Crops of each identity in a balanced batch."""

    @property
    def is_balanced(self) -> bool:
        """Whether a batch has the same number of crops of each of its identities; crops are repeated if necessary."""
        return self.name == _BALANCED

    def batch_size(self, count: int, batch: int) -> int:
        """Crops per step: `batch`, or all `count` crops if they are fewer."""
        return batch if self.is_balanced else min(batch, count)

    def steps(self, count: int, batch: int) -> int:
        """Steps of an epoch. Crops that do not fill the last batch are left out; they are others in each epoch."""
        return max(1, count // self.batch_size(count, batch))

    def order(self, labels: Ints, batch: int, draw: Generator) -> Ints:
        """The crops of an epoch (steps * batch_size,), in order, from labels (N,)."""
        count = len(labels)
        choose = SAMPLERS.load(self.name)
        return choose(labels, self.steps(count, batch), self.batch_size(count, batch), self.images, draw)

    def check(self, identities: int, batch: int) -> None:
        """Raises CosfaceError for a batch that this sampling cannot fill."""
        if not self.is_balanced:
            return
        if batch % self.images:
            raise CosfaceError(
                f"--batch must be a multiple of --images-per-identity {self.images}, got {batch}",
                hint=f"for example --batch {max(1, batch // self.images) * self.images}",
            )
        if batch // self.images > identities:
            raise CosfaceError(
                f"--batch {batch} with --images-per-identity {self.images} needs {batch // self.images} identities, "
                f"got {identities}",
                hint=f"lower --batch to {identities * self.images}, or raise --images-per-identity",
            )


def shuffled(labels: Ints, steps: int, batch_size: int, images: int, draw: Generator) -> Ints:
    """Every crop once, in a random order, up to the last full batch."""
    return draw.permutation(len(labels))[: steps * batch_size].astype(np.int64)


def balanced(labels: Ints, steps: int, batch_size: int, images: int, draw: Generator) -> Ints:
    """P x K: every batch has K = images crops of each of P = batch_size / K identities (Schroff 2015, section 3.2).

    The numbers of times that identities are used differ by at most one. All crops of an identity are used, in random
    order, before one is used again; crops of an identity with fewer than K are repeated within a batch.
    """
    people = batch_size // images
    counts = np.bincount(labels)
    by_identity = np.lexsort((draw.permutation(len(labels)), labels))  # (N,): one identity after another, each shuffled
    begins = np.cumsum(counts) - counts  # (C,)

    # a round has each identity once, without those that do not fill a batch
    of_round = len(counts) // people * people
    rounds = [draw.permutation(len(counts))[:of_round] for _ in range(-(-steps * people // of_round))]
    who = np.concatenate(rounds)[: steps * people]  # (steps * P,)

    ranked = np.argsort(who, kind="stable")
    first = np.searchsorted(who[ranked], who[ranked])
    times = np.empty_like(who)
    times[ranked] = np.arange(len(who)) - first  # how often this identity was used before
    turn = times[:, None] * images + np.arange(images)  # (steps * P, K)
    return by_identity[begins[who][:, None] + turn % counts[who][:, None]].ravel().astype(np.int64)


SHUFFLED = Sampling()


def sampling(name: str, images: int | None) -> Sampling:
    """A sampling by its name. images: K; None for 4. Raises CosfaceError for a K that has no effect."""
    SAMPLERS.row(name)
    if images is None:
        return Sampling(name)
    if name != _BALANCED:
        raise CosfaceError(f"--sampler {name} takes no --images-per-identity", hint="add --sampler balanced")
    return Sampling(name, images)
