"""Pixels of crops to the input of a network. Training, validation and embedding all use these functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def network_input(crops: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(x - mean) / std (Wang 2018, section 4.1) of RGB crops (N, H, W, 3), as (N, 3, H, W) float32.

    mean, std: per channel, in pixel values 0..255, from the weights' header. Raises ValueError for another shape or
    type.
    """
    _require_crops(crops)
    pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)  # (N, 3, H, W)
    per_channel = (1, 3, 1, 1)
    pixels -= np.asarray(mean, np.float32).reshape(per_channel)
    pixels /= np.asarray(std, np.float32).reshape(per_channel)
    return pixels


def network_tensor(
    crops: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], device: torch.device
) -> torch.Tensor:
    """Bit for bit the values of network_input, computed on a device: (N, 3, H, W) float32.

    The memory format is channels last, like that of the crops, so nothing is transposed.
    """
    import torch

    _require_crops(crops)
    width = crops.shape[2]
    pixels = torch.from_numpy(crops).to(device).flatten(2).float()  # (N, H, W * 3): rows as one, for long vectors
    pixels.sub_(torch.tensor(mean, device=device).repeat(width)).div_(torch.tensor(std, device=device).repeat(width))
    return pixels.view(crops.shape).permute(0, 3, 1, 2)


def _require_crops(crops: NDArray[np.uint8]) -> None:
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8:
        raise ValueError(f"crops must be (N, H, W, 3) uint8, got {crops.shape} {crops.dtype}")
