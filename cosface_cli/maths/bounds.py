"""What s and m can be, and what the loss begins at."""

from __future__ import annotations

import math


def scale_lower_bound(identities: int, probability: float) -> float:
    """The least s with which a class centre can reach a posterior probability (Wang 2018 Eq. 6).

    s >= (C - 1) / C ln( (C - 1) P_W / (1 - P_W) ), P_W in 0..1. Raises ValueError outside of that, or for C < 2.
    """
    if identities < 2:
        raise ValueError(f"{identities} identities leave nothing to tell apart")
    if not 0.0 < probability < 1.0:
        raise ValueError(f"the probability {probability} is not between 0 and 1")
    others = identities - 1
    return others / identities * math.log(others * probability / (1.0 - probability))


def margin_upper_bound(identities: int, embedding_size: int) -> float:
    """The largest cosine margin m that C class weights in K dimensions leave room for (Wang 2018 Eq. 7).

    m <= 1 - max_{i != j} W_i . W_j, which is 1 - cos(2 pi / C) for K = 2 and C / (C - 1) for C <= K + 1. For more
    identities than that the paper knows no closed form: C / (C - 1) is returned, and m must be well below it.
    Raises ValueError for C < 2 or K < 2.
    """
    if identities < 2 or embedding_size < 2:
        raise ValueError(f"no bound for {identities} identities in {embedding_size} dimensions")
    if embedding_size == 2:
        return 1.0 - math.cos(2.0 * math.pi / identities)
    return identities / (identities - 1)


def loss_at_right_angles(identities: int, s: float, m: float) -> float:
    """The loss where every cosine is 0: ln(1 + (C - 1) e^{s m}), close to ln(C - 1) + s m (from Wang 2018 Eq. 4).

    An untrained network begins a little above it: its cosines scatter about 0.
    """
    others = identities - 1
    if others < 1:
        raise ValueError(f"{identities} identities leave nothing to tell apart")
    return s * m + math.log(others + math.exp(-s * m))


def loss_at_random(identities: int, embedding_size: int, s: float, m: float) -> float:
    """The loss that C class weights drawn at random in K dimensions begin with, whatever the embeddings.

    Their cosines scatter by 1 / sqrt(K) about 0, so that the mean of e^{s cos} is close to e^{s^2 / 2K}:
    s m + ln(e^{-s m} + (C - 1) e^{s^2 / 2K}), a little more than the loss on average (Jensen). From
    s = sqrt(2 K ln(C - 1)) on the largest cosine rules the sum: s m + s sqrt(2 ln(C - 1) / K) at most, and no more
    than s m + s.
    """
    others = identities - 1
    if others < 1 or embedding_size < 2:
        raise ValueError(f"no first loss of {identities} identities in {embedding_size} dimensions")
    spread = s * s / (2.0 * embedding_size)
    frozen = s * min(1.0, math.sqrt(2.0 * math.log(others) / embedding_size))
    of_others = math.log(others) + spread if spread <= math.log(others) else frozen
    return s * m + of_others + math.log1p(math.exp(-s * m - of_others))
