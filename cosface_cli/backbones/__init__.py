"""Backbones: crops in, embeddings out. A new family is a file here and its rows in BACKBONES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network architecture: what a row of BACKBONES points to."""

    build: Callable[[int], nn.Module]
    """From an embedding size D to a network, which maps (B, 3, H, W) float32, RGB, (x - mean) / std, to (B, D), not
    normalised."""
    template: str
    """Geometry of the crops that the network takes; it decides H and W."""
    embedding_size: int
    """The default D."""
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """Per channel, in pixel values 0..255."""
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    """Per channel, in pixel values 0..255."""

    def __call__(self, embedding_size: int) -> nn.Module:
        """A network with freshly drawn weights."""
        return self.build(embedding_size)


BACKBONES: Table[Backbone] = Table(
    "backbone",
    Row(
        "dlib29",
        "cosface_cli.backbones.dlib_resnet:DLIB29",
        "5.6 M parameters, crops `dlib`: the built-in default (King 2017)",
    ),
    Row(
        "mobilefacenet",
        "cosface_cli.backbones.mobilefacenet:MOBILEFACENET",
        "1 M parameters, crops `arcface` (Chen 2018)",
    ),
    Row(
        "sphere4",
        "cosface_cli.backbones.sphere_networks:SPHERE4",
        "12.6 M parameters, crops `sphereface` (Liu 2017)",
    ),
    Row(
        "sphere10", "cosface_cli.backbones.sphere_networks:SPHERE10", "15.2 M parameters, crops `sphereface` (Liu 2017)"
    ),
    Row(
        "sphere20", "cosface_cli.backbones.sphere_networks:SPHERE20", "22.7 M parameters, crops `sphereface` (Liu 2017)"
    ),
    Row(
        "sphere36", "cosface_cli.backbones.sphere_networks:SPHERE36", "32.8 M parameters, crops `sphereface` (Liu 2017)"
    ),
    Row(
        "sphere64",
        "cosface_cli.backbones.sphere_networks:SPHERE64",
        "48.2 M parameters, crops `sphereface` (Liu 2017; the network of Wang 2018)",
    ),
    Row("iresnet18", "cosface_cli.backbones.iresnet:IRESNET18", "24.0 M parameters, crops `arcface` (Deng 2019)"),
    Row("iresnet34", "cosface_cli.backbones.iresnet:IRESNET34", "34.1 M parameters, crops `arcface` (Deng 2019)"),
    Row("iresnet50", "cosface_cli.backbones.iresnet:IRESNET50", "43.6 M parameters, crops `arcface` (Deng 2019)"),
    Row("iresnet100", "cosface_cli.backbones.iresnet:IRESNET100", "65.2 M parameters, crops `arcface` (Deng 2019)"),
)
