"""ONNX Runtime as all engines use it: one thread per session, one session per process, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the package is loaded; otherwise it sends telemetry

import onnxruntime

from cosface_cli.errors import CosfaceError

PROVIDERS = ["CPUExecutionProvider"]
_CUDA = "CUDAExecutionProvider"


InferenceSession: TypeAlias = onnxruntime.InferenceSession
SessionOptions = onnxruntime.SessionOptions


def session_options(optimised: bool = True) -> onnxruntime.SessionOptions:
    """One thread, since several sessions share the cores, and no messages.

    optimised: False to open a graph only for its inputs and outputs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def has_cuda() -> bool:
    """Whether the installed package supports NVIDIA GPUs."""
    return _CUDA in onnxruntime.get_available_providers()


def open_session(
    path: Path, options: onnxruntime.SessionOptions | None = None, device: str = "cpu"
) -> InferenceSession:
    """The model in an ONNX file. Raises CosfaceError for a file that is missing or not a model.

    device: "cuda:N" where has_cuda, computed in float32 as on a CPU; anything else is the CPU.
    """
    if not path.is_file():
        raise CosfaceError("no such file", path, "give the path of an .onnx file")
    try:
        session = onnxruntime.InferenceSession(str(path), options or session_options(), providers=_providers(device))
    except Exception as error:  # the runtime's own exceptions share no base class
        raise CosfaceError("ONNX Runtime cannot read this as a model", path, "give an .onnx file") from error
    if _on_cuda(device) and session.get_providers()[0] != _CUDA:
        problem = "this onnxruntime is for GPUs, but finds no CUDA or cuDNN that it can load"
        raise CosfaceError(problem, path, "install the versions that it was built for, or use --device cpu")
    return session


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    if not _on_cuda(device):
        return [*PROVIDERS]
    return [(_CUDA, {"device_id": device.partition(":")[2] or "0", "use_tf32": "0"}), *PROVIDERS]


def _on_cuda(device: str) -> bool:
    return device.startswith("cuda") and has_cuda()
