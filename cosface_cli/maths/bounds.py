"""Bounds of the scale s and the margin m, and estimates of the first loss of a training."""

from __future__ import annotations

import math


def scale_lower_bound(identities: int, probability: float) -> float:
    """The smallest s with which a class centre can reach a posterior probability (Wang 2018 Eq. 6).

    s >= (C - 1) / C ln( (C - 1) P_W / (1 - P_W) ). Raises ValueError unless 0 < P_W < 1 and C >= 2.
    """
    if identities < 2:
        raise ValueError(f"at least 2 identities are needed, got {identities}")
    if not 0.0 < probability < 1.0:
        raise ValueError(f"the probability must be between 0 and 1, got {probability}")
    others = identities - 1
    return others / identities * math.log(others * probability / (1.0 - probability))


def margin_upper_bound(identities: int, embedding_size: int) -> float:
    """The largest cosine margin m that C class weights in K dimensions allow (Wang 2018 Eq. 7).

    m <= 1 - max_{i != j} W_i . W_j, which is 1 - cos(2 pi / C) for K = 2 and C / (C - 1) for C <= K + 1. For more
    identities the paper gives no closed form: C / (C - 1) is returned, and m must be well below it.
    Raises ValueError for C < 2 or K < 2.
    """
    if identities < 2 or embedding_size < 2:
        raise ValueError(f"at least 2 identities and 2 dimensions are needed, got {identities} and {embedding_size}")
    if embedding_size == 2:
        return 1.0 - math.cos(2.0 * math.pi / identities)
    return identities / (identities - 1)


def loss_at_right_angles(identities: int, s: float, m: float) -> float:
    """The loss if every cosine is 0: ln(1 + (C - 1) e^{s m}), close to ln(C - 1) + s m (from Wang 2018 Eq. 4).

    The first loss of an untrained network is slightly higher, because its cosines scatter about 0.
    Raises ValueError for C < 2.
    """
    others = identities - 1
    if others < 1:
        raise ValueError(f"at least 2 identities are needed, got {identities}")
    return s * m + math.log(others + math.exp(-s * m))


def loss_at_random(identities: int, embedding_size: int, s: float, m: float) -> float:
    """The first loss with C random class weights in K dimensions, for any embeddings.

    The cosines have standard deviation 1 / sqrt(K) about 0, so the mean of e^{s cos} is close to e^{s^2 / 2K}:
    s m + ln(e^{-s m} + (C - 1) e^{s^2 / 2K}), slightly more than the expected loss (Jensen). For
    s > sqrt(2 K ln(C - 1)) the largest cosine dominates the sum: then the loss is at most
    s m + s sqrt(2 ln(C - 1) / K), and at most s m + s. Raises ValueError for C < 2 or K < 2.
    """
    others = identities - 1
    if others < 1 or embedding_size < 2:
        raise ValueError(f"at least 2 identities and 2 dimensions are needed, got {identities} and {embedding_size}")
    half_variance = s * s / (2.0 * embedding_size)
    largest = s * min(1.0, math.sqrt(2.0 * math.log(others) / embedding_size))
    of_others = math.log(others) + half_variance if half_variance <= math.log(others) else largest
    return s * m + of_others + math.log1p(math.exp(-s * m - of_others))
