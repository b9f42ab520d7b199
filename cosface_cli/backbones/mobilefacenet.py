"""MobileFaceNet (Chen 2018, arXiv 1804.07573): inverted bottlenecks, and a depthwise convolution over the last map."""

from __future__ import annotations

from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.prelu import PReLU

# Chen 2018, table 1: expansion, channels, repeats, stride of the first
_BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, padding: int = 0, linear: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, and PReLU unless linear."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if not linear:
        layers.append(PReLU(outputs))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Widen by 1x1, convolve each channel by 3x3, narrow by 1x1 without activation; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.residual = stride == 1 and inputs == outputs
        self.widen = _conv(inputs, hidden, 1)
        self.depthwise = _conv(hidden, hidden, 3, stride, groups=hidden, padding=1)
        self.narrow = _conv(hidden, outputs, 1, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.depthwise(self.widen(x)))  # (B, outputs, H / stride, W / stride)
        return x + y if self.residual else y


class MobileFaceNet(nn.Module):
    """Crops (B, 3, 112, 112) to embeddings (B, D)."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 64, 3, 2, padding=1), _conv(64, 64, 3, groups=64, padding=1)]
        channels = 64
        for expansion, outputs, repeats, stride in _BOTTLENECKS:
            for repeat in range(repeats):
                layers.append(Bottleneck(channels, outputs, expansion, stride if repeat == 0 else 1))
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.last = _conv(channels, 512, 1)
        self.pool = _conv(512, 512, 7, groups=512, linear=True)  # one weight for each position: corners show no face
        self.embedding = _conv(512, embedding_size, 1, linear=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # 0.25: the slope that PReLU begins with

    def forward(self, crops: Tensor) -> Tensor:
        x = self.last(self.features(crops))  # (B, 512, 7, 7)
        y: Tensor = self.embedding(self.pool(x))  # (B, D, 1, 1)
        return y.flatten(1)  # (B, D)


def mobilefacenet(embedding_size: int) -> nn.Module:
    """MobileFaceNet with freshly drawn weights, for crops of template arcface."""
    return MobileFaceNet(embedding_size)


MOBILEFACENET = Backbone(mobilefacenet, template="arcface", embedding_size=256)
