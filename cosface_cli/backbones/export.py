"""A network as an ONNX file."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping

import torch
from torch import nn

_OPSET = 17


def to_onnx(network: nn.Module, height: int, width: int, notes: Mapping[str, str] | None = None) -> bytes:
    """The network as ONNX: input "crops" (N, 3, H, W) float32, (x - mean) / std; output "embedding" (N, D).

    N is free. notes: the file's metadata, see engines.embedders.onnx_file. The same weights give the same bytes. The
    network is not changed.
    """
    still = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    out = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated, but the new one needs onnxscript
        torch.onnx.export(
            still,
            (torch.zeros(1, 3, height, width),),
            out,  # type: ignore[arg-type]  # a file object is taken as well
            input_names=["crops"],
            output_names=["embedding"],
            dynamic_axes={"crops": {0: "N"}, "embedding": {0: "N"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    if not notes:
        return out.getvalue()
    import onnx

    noted = onnx.load_from_string(out.getvalue())
    onnx.helper.set_model_props(noted, dict(notes))
    return bytes(noted.SerializeToString(deterministic=True))
