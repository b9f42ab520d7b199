"""RetinaFace with MobileNet-0.25 as plain torch calls, batch norms and all: what the converted graph is held to.

Layers, strides and the order of the answers as in the Pytorch_Retinaface project (models/net.py, models/retinaface.py,
layers/functions/prior_box.py, utils/box_utils.py).
"""

from __future__ import annotations

from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F


class Reference:
    """slope: of the leaky ReLUs, .1 in the project, 0 in forks of it."""

    def __init__(self, path: Path, slope: float) -> None:
        self.slope = slope
        self.p = torch.load(path, map_location="cpu", weights_only=True)

    def unit(self, x: torch.Tensor, conv: str, stride: int = 1, groups: int = 1, active: bool = True):
        """Convolution, batch norm with the running statistics, leaky ReLU where it is active."""
        head, _, last = conv.rpartition(".")
        norm = f"{head}.{int(last) + 1}"
        weight = self.p[f"{conv}.weight"]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        own = [self.p[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *own, training=False, eps=1e-5)
        return F.leaky_relu(x, self.slope) if active else x

    def maps(self, image: np.ndarray) -> list[torch.Tensor]:
        """The three maps under the heads, of an RGB picture (H, W, 3)."""
        bgr = np.float32(image[..., ::-1]) - np.float32([104, 117, 123])
        x = torch.from_numpy(bgr.transpose(2, 0, 1).copy())[None]
        x = self.unit(x, "body.stage1.0.0", stride=2)
        levels = []
        for stage, blocks in {
            "body.stage1": {1: 1, 2: 2, 3: 1, 4: 2, 5: 1},
            "body.stage2": {0: 2, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1},
            "body.stage3": {0: 2, 1: 1},
        }.items():
            for n, stride in blocks.items():
                x = self.unit(x, f"{stage}.{n}.0", stride, groups=x.shape[1])
                x = self.unit(x, f"{stage}.{n}.3")
            levels.append(x)
        one, two, three = (self.unit(x, f"fpn.output{i}.0") for i, x in enumerate(levels, 1))
        two = self.unit(two + F.interpolate(three, size=two.shape[2:], mode="nearest"), "fpn.merge2.0")
        one = self.unit(one + F.interpolate(two, size=one.shape[2:], mode="nearest"), "fpn.merge1.0")
        return [self.context(x, f"ssh{i}") for i, x in enumerate((one, two, three), 1)]

    def context(self, x: torch.Tensor, name: str) -> torch.Tensor:
        five = self.unit(x, f"{name}.conv5X5_1.0")
        parts = [
            self.unit(x, f"{name}.conv3X3.0", active=False),
            self.unit(five, f"{name}.conv5X5_2.0", active=False),
            self.unit(self.unit(five, f"{name}.conv7X7_2.0"), f"{name}.conv7x7_3.0", active=False),
        ]
        return F.relu(torch.cat(parts, dim=1))

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability (P,), box regression (P, 4) and landmark regression (P, 10) of each prior."""
        maps = self.maps(image)
        out = []
        for head, size in (("ClassHead", 2), ("BboxHead", 4), ("LandmarkHead", 10)):
            parts = []
            for i, x in enumerate(maps):
                own = f"{head}.{i}.conv1x1"
                y = F.conv2d(x, self.p[f"{own}.weight"], self.p[f"{own}.bias"])
                parts.append(y.permute(0, 2, 3, 1).reshape(-1, size))
            out.append(torch.cat(parts))
        return F.softmax(out[0], dim=1)[:, 1].numpy(), out[1].numpy(), out[2].numpy()


def decode(
    height: int, width: int, min_sizes: tuple[tuple[int, int], ...], box: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (P, 4) and landmarks (P, 5, 2) in pixels: priors in shares of the picture, as the project has them."""
    found = []
    for step, sides in zip((8, 16, 32), min_sizes, strict=True):
        for i, j in product(range(ceil(height / step)), range(ceil(width / step))):
            for side in sides:
                found.append(((j + 0.5) * step / width, (i + 0.5) * step / height, side / width, side / height))
    prior = np.array(found)
    middle = prior[:, :2] + box[:, :2] * 0.1 * prior[:, 2:]
    size = prior[:, 2:] * np.exp(box[:, 2:] * 0.2)
    pixels = np.array([width, height])
    boxes = np.concatenate([(middle - size / 2) * pixels, (middle + size / 2) * pixels], axis=1)
    marks = np.stack(
        [(prior[:, :2] + points[:, k : k + 2] * 0.1 * prior[:, 2:]) * pixels for k in range(0, 10, 2)], axis=1
    )
    return boxes, marks
