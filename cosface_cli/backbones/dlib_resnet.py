"""dlib's ResNet-29 (its dnn_face_recognition_ex), the built-in default, as a network to train on.

A 7x7 stem, fourteen residual blocks, a global mean and a linear layer. There is no batch norm: dlib's scale and shift
after each convolution are folded into the convolution. As separate layers they would train badly: the scales are 2 to
23, and a step on a weight before a scale g moves the output g^2 times as far, so no learning rate fits all layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.backbones import Backbone

# channels of each block's output, and whether the block halves width and height
_BLOCKS = (
    *[(32, False)] * 3,
    (64, True), *[(64, False)] * 3,
    (128, True), *[(128, False)] * 2,
    (256, True), *[(256, False)] * 2,
    (256, True),
)  # fmt: skip
_SIDE = 35  # of the map behind the stem and its pooling, for crops of 150


class Block(nn.Module):
    """relu(conv(relu(conv(x))) + x), 3x3. side: width and height of x.

    halve: the first convolution has stride 2 and no padding, and x is averaged over 2x2. The smaller of the two
    terms is padded with zeros after its last channel, row and column.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, side: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if halve else 1, padding=0 if halve else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.halve = halve
        self.lacking_channels = outputs - inputs
        self.lacking_pixels = side // 2 - ((side - 3) // 2 + 1) if halve else 0  # of the convolution; the mean has all
        self.side = side // 2 if halve else side

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))  # (B, outputs, H, W)
        if self.halve:
            x = F.avg_pool2d(x, 2)
        if self.lacking_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.lacking_channels))
        if self.lacking_pixels:
            y = F.pad(y, (0, self.lacking_pixels, 0, self.lacking_pixels))
        return F.relu(y + x)


class DlibResNet(nn.Module):
    """Crops (B, 3, 150, 150) to embeddings (B, D)."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        blocks: list[Block] = []
        channels, side = 32, _SIDE
        for outputs, halve in _BLOCKS:
            blocks.append(Block(channels, outputs, halve, side))
            channels, side = outputs, blocks[-1].side
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(channels, embedding_size, bias=False)
        self._draw()

    def _draw(self) -> None:
        """He's initialisation; blocks are scaled so that the sum of all has the size of one (Zhang 2019)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for block in self.blocks:
            assert isinstance(block, Block)
            block.second.weight.data.mul_(len(_BLOCKS) ** -0.5)

    def forward(self, crops: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(crops)), 3, stride=2)  # (B, 32, 35, 35)
        x = self.blocks(x)  # (B, 256, 2, 2)
        y: Tensor = self.embedding(F.adaptive_avg_pool2d(x, 1).flatten(1))  # (B, D)
        return y


def named(
    convolutions: Sequence[tuple[NDArray[np.generic], NDArray[np.generic]]], embedding: NDArray[np.generic]
) -> dict[str, NDArray[np.generic]]:
    """dlib's arrays under this network's names.

    convolutions: weight (out, in, h, w) and bias (out,) in the order from the input, with scale and shift folded in;
    embedding: (D, 256). Raises ValueError for another number of convolutions.
    """
    places = ["stem", *(f"blocks.{block}.{part}" for block in range(len(_BLOCKS)) for part in ("first", "second"))]
    tensors = {"embedding.weight": embedding}
    for place, (weight, bias) in zip(places, convolutions, strict=True):
        tensors |= {f"{place}.weight": weight, f"{place}.bias": bias}
    return tensors


def dlib29(embedding_size: int) -> nn.Module:
    """dlib's ResNet-29 with freshly drawn weights, for crops of template dlib."""
    return DlibResNet(embedding_size)


DLIB29 = Backbone(
    dlib29, template="dlib", embedding_size=128, mean=(122.782, 117.001, 104.298), std=(256.0, 256.0, 256.0)
)
