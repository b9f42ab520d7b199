"""Softmax cross entropy: the baseline of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cosface_cli.losses.classifier import InnerProductHead


class Softmax(InnerProductHead):
    """Softmax cross-entropy with bias (Wang 2018 Eq. 1).

    L = mean of -log( e^{W_y . x + b_y} / sum_j e^{W_j . x + b_j} )
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {}
    EQUATION: ClassVar[str] = "-log( e^{W_y.x + b_y} / sum_j e^{W_j.x + b_j} )"
    SOURCE: ClassVar[str] = "Wang 2018, arXiv 1801.09414, Eq. 1"

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """0: there is no margin."""
        return 0.0
