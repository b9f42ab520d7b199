"""SphereFace's plain residual nets (Liu 2017, arXiv 1704.08063, table 2), which CosFace trains too.

Weights begin as in its published code: Gaussian of 0.01 in the residual units, Caffe's "xavier" elsewhere.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.prelu import PReLU

_CHANNELS = (64, 128, 256, 512)


class Unit(nn.Module):
    """Two 3x3 convolutions, each with its PReLU, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            PReLU(channels),
        )
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)  # without batch norm: each unit begins as identity

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


class SphereFace(nn.Module):
    """Crops (B, 3, 112, 96) to embeddings (B, D). units: residual units in each of the four stages."""

    def __init__(self, embedding_size: int, units: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, repeats in zip((3, *_CHANNELS), _CHANNELS, units, strict=False):
            halve = _xavier(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
            layers += [halve, PReLU(outputs), *(Unit(outputs) for _ in range(repeats))]
        self.features = nn.Sequential(*layers)
        self.embedding = _xavier(nn.Linear(512 * 7 * 6, embedding_size))

    def forward(self, crops: Tensor) -> Tensor:
        x: Tensor = self.features(crops)  # (B, 512, 7, 6)
        y: Tensor = self.embedding(x.flatten(1))  # (B, D)
        return y


def _xavier(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Uniform within sqrt(3 / inputs), as Caffe's filler of that name: Glorot's divides by inputs and outputs."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _family(units: tuple[int, ...]) -> Backbone:
    return Backbone(partial(SphereFace, units=units), template="sphereface", embedding_size=512)


SPHERE4 = _family((0, 0, 0, 0))
SPHERE10 = _family((0, 1, 2, 0))
SPHERE20 = _family((1, 2, 4, 1))
SPHERE36 = _family((2, 4, 8, 2))
SPHERE64 = _family((3, 8, 16, 3))  # that of Wang 2018
