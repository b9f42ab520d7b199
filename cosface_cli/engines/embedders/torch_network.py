"""Embedders that run on torch: for GPUs and for half precision. On a CPU in float32, ONNX Runtime is used instead.

On a CPU, torch uses one thread, like our ONNX Runtime sessions, because several processes share the cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosface_cli.artifacts.run.weights import read_trained
from cosface_cli.backbones.inputs import network_tensor
from cosface_cli.engines.embedders import GPU_BATCH
from cosface_cli.engines.embedders.trained import network_of, shown_name, thresholds_of
from cosface_cli.engines.runtime.devices import autocast_type, on_gpu, require

_CPU_BATCH = 8


class TorchEmbedder:
    """A network on a device. See the Embedder protocol.

    network: takes (N, 3, H, W), where each channel is (x - mean) / std of its pixels. precision: of torch's autocast;
    the output is always float32. Each batch is padded to the same size, so that an embedding does not depend on the
    other crops of its batch.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str,
        precision: str,
        name: str,
        model_id: str,
        template: str,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        thresholds: Mapping[str, float],
    ) -> None:
        require(device)
        _use_exact_float32()
        self.name = name
        self.model_id = model_id
        self.template = template
        self.size = size
        self.batch = GPU_BATCH if on_gpu(device) else _CPU_BATCH
        self.thresholds: Mapping[str, float] = dict(thresholds)
        self._device = torch.device(device)
        self._type = autocast_type(precision)
        self._network = network.eval().to(self._device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = tuple(mean), tuple(std)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Embedder.embed."""
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
            raise ValueError(f"crops must be RGB uint8 (N, H, W, 3), got {crops.dtype} {crops.shape}")
        out = np.empty((len(crops), self.size), np.float32)
        for start in range(0, len(crops), self.batch):
            batch = crops[start : start + self.batch]
            full = np.zeros((self.batch, *crops.shape[1:]), np.uint8)
            full[: len(batch)] = batch
            out[start : start + len(batch)] = self._run(full)[: len(batch)]
        return out

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        planes = network_tensor(crops, self._mean, self._std, self._device)  # (N, 3, H, W)
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, self._type, enabled=self._type is not None):
            embeddings: torch.Tensor = self._network(planes)  # (N, D)
        return embeddings.to(torch.float32).cpu().numpy()


def open_trained_on(path: Path, device: str, precision: str) -> TorchEmbedder:
    """A run folder or its weights on a device. Raises CosfaceError as trained.open_trained does."""
    file, header, tensors = read_trained(path)
    return TorchEmbedder(
        network_of(tensors, header, file),
        device,
        precision,
        name=shown_name(path),
        model_id=header.model_id,
        template=header.template,
        size=header.embedding_size,
        mean=header.mean,
        std=header.std,
        thresholds=thresholds_of(header),
    )


def _use_exact_float32() -> None:
    """Compute float32 in full, where cuDNN would round to 10 bits of mantissa, and always add in the same order."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
