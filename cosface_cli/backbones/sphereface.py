"""SphereFace's plain residual nets (Liu 2017, arXiv 1704.08063, table 2), which CosFace trains too."""

from __future__ import annotations

from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.prelu import PReLU

_CHANNELS = (64, 128, 256, 512)
_UNITS_20 = (1, 2, 4, 1)


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
            halve = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
            nn.init.xavier_uniform_(halve.weight)
            nn.init.zeros_(halve.bias)  # type: ignore[arg-type]
            layers += [halve, PReLU(outputs), *(Unit(outputs) for _ in range(repeats))]
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Linear(512 * 7 * 6, embedding_size)
        nn.init.xavier_uniform_(self.embedding.weight)
        nn.init.zeros_(self.embedding.bias)

    def forward(self, crops: Tensor) -> Tensor:
        x: Tensor = self.features(crops)  # (B, 512, 7, 6)
        y: Tensor = self.embedding(x.flatten(1))  # (B, D)
        return y


def sphere20(embedding_size: int) -> nn.Module:
    """SphereFace-20 with freshly drawn weights, for crops of template sphereface."""
    return SphereFace(embedding_size, _UNITS_20)


SPHERE20 = Backbone(sphere20, template="sphereface", embedding_size=512)
