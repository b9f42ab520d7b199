"""One word of the command line to a detector: a name of the table, or the path of a file, known by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosface_cli.engines.detectors import DETECTORS, Detector
from cosface_cli.engines.detectors.retinaface import is_checkpoint
from cosface_cli.engines.runtime.onnx_session import open_session, session_options
from cosface_cli.errors import CosfaceError

SMALLEST = 12.0  # pixels: MTCNN's window, below which no detector here sees a face
USUAL = 20.0  # pixels: a caller's higher limit is for the photo, which may have been shrunk


def open_detector(spec: str, min_face: float) -> Detector:
    """The detector that spec names: "mtcnn", or the path of a YuNet, SCRFD or RetinaFace file, told apart by content.

    min_face: pixels of the smallest face that the caller wants; smaller ones may be found, since the pictures that the
    detector is given may be shrunken photos. Raises CosfaceError naming the near
    miss of a name, or what is wrong with a file.
    """
    if spec == "mtcnn":
        mtcnn: Detector = DETECTORS.load(spec)(min_face=min(max(min_face, SMALLEST), USUAL))
        return mtcnn
    path = Path(spec)
    if not path.is_file():
        if spec in DETECTORS:
            hint = "give its file by path: --detector PATH"
            raise CosfaceError(f"the detector {spec!r} does not come with pip", hint=hint)
        if not path.suffix and len(path.parts) == 1:
            DETECTORS.row(spec)  # raises, and names the near miss
        problem = "this is not a file" if path.exists() else "no such file"
        raise CosfaceError(problem, path, "give a detector's name or the path of its file")
    found: Detector = DETECTORS.load(_kind(path))(path)
    return found


def _kind(path: Path) -> str:
    """The table's name for the detector in a file."""
    if is_checkpoint(path):
        return "retinaface"
    session = open_session(path, session_options(optimised=False))
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = {output.name for output in outputs}
    if {f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)} == names:
        return "yunet"
    # insightface's: score, box and landmarks, each at three or at five strides
    for kind, strides in (("scrfd", 3), ("retinaface", 5)):
        sizes = [1] * strides + [4] * strides + [10] * strides
        if len(inputs) == 1 and [output.shape[-1] for output in outputs] == sizes:
            return kind
    raise CosfaceError(
        f"no YuNet, SCRFD or RetinaFace with landmarks: takes {_described(inputs)}, gives {_described(outputs)}",
        path,
        "give a detector's file",
    )


def _described(tensors: list[Any]) -> str:
    shown = [f"{tensor.name}[{','.join(map(str, tensor.shape))}]" for tensor in tensors[:3]]
    more = len(tensors) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
