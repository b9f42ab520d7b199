"""Opens an embedder by its name in the table, or by the path of a run folder, its weights or an ONNX file."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.engines.embedders import EMBEDDERS, Embedder
from cosface_cli.engines.runtime.devices import on_gpu
from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest


def open_embedder(spec: str, device: str = "cpu", precision: str = "fp32") -> Embedder:
    """The embedder that spec names. device: see runtime.devices.

    On "cpu" in fp32 it runs on ONNX Runtime, otherwise on torch. A model that exists only as an ONNX graph always runs
    on ONNX Runtime: see fallback. Raises CosfaceError for an unknown name (the hint is the nearest known name), a
    missing file, a file of another kind, and a precision that the model does not have.
    """
    path = Path(spec)
    if spec not in EMBEDDERS and not path.exists() and path.suffix != ".safetensors":
        hint = suggest(spec, EMBEDDERS.names) + " or give a path"
        raise CosfaceError(f"no model or file is called {spec!r}", hint=hint)
    require_precision(spec, precision)
    by_torch = (device, precision) != ("cpu", "fp32")
    if spec in EMBEDDERS:
        packaged = EMBEDDERS.load(spec)
        if by_torch and packaged.open_on is not None:
            return packaged.open_on(device, precision)
        return packaged.open()
    if path.suffix == ".onnx":
        from cosface_cli.engines.embedders.onnx_file import open_onnx

        return open_onnx(path, device=device)
    if not path.is_dir() and path.suffix != ".safetensors":
        raise CosfaceError("not weights", path, "give a run folder, a .safetensors or an .onnx file")
    if by_torch:
        from cosface_cli.engines.embedders.torch_network import open_trained_on

        return open_trained_on(path, device, precision)
    from cosface_cli.engines.embedders.trained import open_trained

    return open_trained(path)


def fallback(spec: str, device: str) -> str | None:
    """A sentence that says why a model runs on the CPU although --device is a GPU; None if it runs on the GPU."""
    if not on_gpu(device) or not _is_graph(spec):
        return None
    if spec in EMBEDDERS:
        return f"{spec} is made for CPUs and runs on the CPU; on a GPU use another model"
    from cosface_cli.engines.runtime.onnx_session import has_cuda

    if has_cuda() and device.startswith("cuda"):
        return None
    return f"{spec}: this onnxruntime has no provider for {device.partition(':')[0]}, it runs on the CPU"


def require_precision(spec: str, precision: str) -> None:
    """Raises CosfaceError for a model that cannot be computed in fp16 or bf16."""
    if precision != "fp32" and _is_graph(spec):
        problem = f"{spec} is an ONNX graph, whose precision is fixed"
        raise CosfaceError(problem, hint="leave --precision out, or use a run folder")


def _is_graph(spec: str) -> bool:
    """Whether the model exists only as an ONNX graph, which torch cannot run."""
    return EMBEDDERS.load(spec).open_on is None if spec in EMBEDDERS else Path(spec).suffix == ".onnx"
