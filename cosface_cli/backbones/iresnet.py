"""ArcFace's residual nets (Deng 2019, arXiv 1801.07698, section 3.1): improved units, the first map not halved.

A unit is BN-conv-BN-PReLU-conv-BN, and the last map goes through BN-FC-BN. The paper's dropout before the FC is left
out, as in the authors' later recipes: it helps against overfitting only, and a step would depend on random state.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.prelu import PReLU

_CHANNELS = (64, 128, 256, 512)


class Unit(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3, BN, added to the input. halve: the second 3x3 and a 1x1 shortcut have stride 2."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        stride = 2 if halve else 1
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        shortcut: Tensor = self.shortcut(x)
        return shortcut + y


class IResNet(nn.Module):
    """Crops (B, 3, 112, 112) to embeddings (B, D). units: residual units in each of the four stages."""

    def __init__(self, embedding_size: int, units: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), PReLU(64)]
        inputs = 64
        for outputs, repeats in zip(_CHANNELS, units, strict=True):
            for repeat in range(repeats):
                layers.append(Unit(inputs, outputs, halve=repeat == 0))
                inputs = outputs
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(inputs))
        self.embedding = nn.Linear(inputs * 7 * 7, embedding_size)
        self.norm = nn.BatchNorm1d(embedding_size)
        self.norm.weight.requires_grad_(False)  # fixed at 1: only the direction is compared
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # as the authors: variance 2 / outputs
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.embedding.bias)

    def forward(self, crops: Tensor) -> Tensor:
        x: Tensor = self.features(crops)  # (B, 512, 7, 7)
        y: Tensor = self.norm(self.embedding(x.flatten(1)))  # (B, D)
        return y


def _family(units: tuple[int, ...]) -> Backbone:
    return Backbone(partial(IResNet, units=units), template="arcface", embedding_size=512)


IRESNET18 = _family((2, 2, 2, 2))
IRESNET34 = _family((3, 4, 6, 3))
IRESNET50 = _family((3, 4, 14, 3))
IRESNET100 = _family((3, 13, 30, 3))
