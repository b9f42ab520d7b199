"""Which crops an epoch sees, and in which order: functions of (labels, seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import one_of

Ints = NDArray[np.int64]

IMAGES = 4  # of an identity in a batch


@dataclass(frozen=True, slots=True)
class Sampling:
    """name: from SAMPLERS; images: K, crops of each identity in a batch, for "balanced"."""

    name: str = "shuffled"
    images: int = IMAGES

    def batch_size(self, count: int, batch: int) -> int:
        """Crops a step: the batch that was asked for, or all `count` of them where they are fewer."""
        return batch if self.name == "balanced" else min(batch, count)

    def steps(self, count: int, batch: int) -> int:
        """Steps of an epoch. What does not fill the last batch is left out: others in each epoch."""
        return max(1, count // self.batch_size(count, batch))

    def order(self, labels: Ints, batch: int, seed: tuple[int, ...]) -> Ints:
        """The crops of an epoch (steps * batch_size,) in their order, by labels (N,). seed: of this epoch."""
        count, draw = len(labels), np.random.default_rng(seed)
        return SAMPLERS[self.name](labels, self.steps(count, batch), self.batch_size(count, batch), self.images, draw)

    def check(self, identities: int, batch: int) -> None:
        """Raises CosfaceError for a batch that cannot be made up so."""
        if self.name != "balanced":
            return
        if batch % self.images:
            raise CosfaceError(
                f"--batch {batch} is no multiple of --images-per-identity {self.images}",
                hint=f"give for example --batch {max(1, batch // self.images) * self.images}",
            )
        if batch // self.images > identities:
            raise CosfaceError(
                f"--batch {batch} with --images-per-identity {self.images} needs {batch // self.images} identities, "
                f"here are {identities}",
                hint=f"lower --batch to {identities * self.images}, or raise --images-per-identity",
            )


def shuffled(labels: Ints, steps: int, size: int, images: int, draw: np.random.Generator) -> Ints:
    """Every crop once, in a random order, up to the last full batch."""
    return draw.permutation(len(labels))[: steps * size].astype(np.int64)


def balanced(labels: Ints, steps: int, size: int, images: int, draw: np.random.Generator) -> Ints:
    """P x K: every batch has K = images crops of each of P = size / K identities (Schroff 2015, section 3.2).

    Identities come round equally often, up to one. The crops of one are gone through in a random order before any
    comes again; who has fewer than K is repeated within a batch.
    """
    people = size // images
    counts = np.bincount(labels)
    by_identity = np.lexsort((draw.permutation(len(labels)), labels))  # (N,): one identity after another, each shuffled
    begins = np.cumsum(counts) - counts  # (C,)

    # a round goes through all identities once; whom no full batch takes waits for another one
    of_round = len(counts) // people * people
    rounds = [draw.permutation(len(counts))[:of_round] for _ in range(-(-steps * people // of_round))]
    who = np.concatenate(rounds)[: steps * people]  # (steps * P,)

    ranked = np.argsort(who, kind="stable")
    first = np.searchsorted(who[ranked], who[ranked])
    times = np.empty_like(who)
    times[ranked] = np.arange(len(who)) - first  # how often this identity came before
    turn = times[:, None] * images + np.arange(images)  # (steps * P, K)
    return by_identity[begins[who][:, None] + turn % counts[who][:, None]].ravel().astype(np.int64)


Sampler = Callable[[Ints, int, int, int, np.random.Generator], Ints]
SAMPLERS: Mapping[str, Sampler] = {"shuffled": shuffled, "balanced": balanced}
SHUFFLED = Sampling()


def sampling(name: str, images: int | None) -> Sampling:
    """A sampling by its name. images: K, None for 4. Raises CosfaceError with the near miss, or for a K in vain."""
    one_of(name, SAMPLERS, "--sampler")
    if images is None:
        return Sampling(name)
    if name != "balanced":
        raise CosfaceError(f"--sampler {name} takes no --images-per-identity", hint="add --sampler balanced")
    if images < 1:
        raise CosfaceError("--images-per-identity must be at least 1")
    return Sampling(name, images)
