"""Opens a detector by its name in the table, or by the path of a file that one of the table's kinds recognises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosface_cli.engines.detectors import DETECTORS, Detector
from cosface_cli.engines.runtime.onnx_session import open_session, session_options
from cosface_cli.errors import CosfaceError

_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".tar")


def open_detector(spec: str, min_face: float) -> Detector:
    """The detector that spec names: a name of DETECTORS that comes with pip, or the path of an ONNX file.

    min_face: the smallest face that the caller wants, in pixels. The detector may find smaller ones too, since the
    pictures it gets may be photos that were shrunk. Raises CosfaceError for an unknown name, with the near miss, and
    for a file that cannot be used.
    """
    if spec in DETECTORS:
        packaged = DETECTORS.load(spec).open_packaged
        if packaged is not None:
            return packaged(min_face)
    path = Path(spec)
    if not path.is_file():
        if spec in DETECTORS:
            hint = "give the path of its .onnx file: --detector PATH"
            raise CosfaceError(f"the weights of detector {spec!r} are not installed by pip", hint=hint)
        if not path.suffix and len(path.parts) == 1:
            DETECTORS.row(spec)  # raises, and names the near miss
        problem = "not a file" if path.exists() else "no such file"
        raise CosfaceError(problem, path, "give a detector's name or the path of its .onnx file")
    return _open_file(path)


def _open_file(path: Path) -> Detector:
    if path.suffix.lower() in _CHECKPOINTS:
        raise CosfaceError("PyTorch checkpoints of detectors are not supported", path, "give the detector's .onnx file")
    session = open_session(path, session_options(optimised=False))
    names = []
    for name in DETECTORS.names:
        kind = DETECTORS.load(name)
        if kind.open_file is None:
            continue
        if kind.recognises(session):
            return kind.open_file(path)
        names.append(name)
    inputs, outputs = _described(session.get_inputs()), _described(session.get_outputs())
    raise CosfaceError(
        f"not a supported detector ({', '.join(names)}): its inputs are {inputs}, its outputs {outputs}",
        path,
        "give the .onnx file of a detector with five landmarks",
    )


def _described(tensors: list[Any]) -> str:
    described = [f"{tensor.name}[{','.join(map(str, tensor.shape))}]" for tensor in tensors[:3]]
    more = len(tensors) - len(described)
    return ", ".join(described) + (f" and {more} more" if more > 0 else "")
