"""A checkpoint of Pytorch_Retinaface to an ONNX graph, in the layout that proves itself on a photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import packaged
from cosface_cli.artifacts.pictures import decode_file
from cosface_cli.engines.detectors import Detections
from cosface_cli.engines.detectors.mtcnn.detector import open_mtcnn
from cosface_cli.engines.detectors.retinaface import RetinaFace, open_graph
from cosface_cli.engines.detectors.retinaface_boxes import Sides
from cosface_cli.engines.detectors.retinaface_graph import onnx_bytes
from cosface_cli.errors import CosfaceError

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a checkpoint does not say. slope: of the leaky ReLUs; sides: of the priors at each stride, pixels."""

    slope: float
    sides: Sides


# the project's own, and that of its forks with plain ReLUs; names and shapes of their parameters are the same
LAYOUTS = (
    Layout(0.1, ((16, 32), (64, 128), (256, 512))),
    Layout(0.0, ((10, 20), (32, 64), (128, 256))),
)
PHOTO = ("data/images/t1.jpg", "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489")
AGREEMENT = 0.6  # mean overlap of true and found boxes: the right layout has .8, a wrong one .3


def convert(path: Path) -> bytes:
    """The ONNX graph of a checkpoint, its priors' sides in the metadata.

    Each layout is tried on a photo of six people that insightface ships, and the one is taken whose boxes lie where
    MTCNN's lie. Raises CosfaceError for a file of another kind, and where no layout finds the faces.
    """
    params = tensors(path)
    image = decode_file(packaged("insightface", *PHOTO))
    try:
        graphs = [onnx_bytes(params, layout.slope, {"sides": json.dumps(layout.sides)}) for layout in LAYOUTS]
        found = [RetinaFace(open_graph(graph), "", 0.6, 0.4, 640).detect([image])[0] for graph in graphs]
    except Exception as error:  # missing names; the errors for wrong shapes share no base class
        what = f"no {error.args[0]}" if isinstance(error, KeyError) else "its layers do not fit together"
        raise CosfaceError(f"no RetinaFace with MobileNet-0.25 ({what})", path, "give a detector's file") from error
    true = open_mtcnn(min_face=40).detect([image])[0]
    agreements = [agreement(true, each) for each in found]
    if max(agreements) < AGREEMENT:
        problem = "a RetinaFace with MobileNet-0.25 that finds no faces in a photo of six"
        raise CosfaceError(problem, path, "give a trained detector of a known layout")
    return graphs[int(np.argmax(agreements))]


def agreement(true: Detections, found: Detections) -> float:
    """The mean over the true boxes of the best intersection over union, 0..1; each box too many counts as 0."""
    low = np.maximum(true.boxes[:, None, :2], found.boxes[:, :2])
    size = np.maximum(np.minimum(true.boxes[:, None, 2:], found.boxes[:, 2:]) - low, 0)
    shared = size.prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (true.boxes, found.boxes)]
    overlaps = shared / (areas[0][:, None] + areas[1] - shared)
    return float(overlaps.max(axis=1, initial=0.0).sum() / max(len(true), len(found)))


def tensors(path: Path) -> Mapping[str, Array]:
    """The parameters in a checkpoint by name. Raises CosfaceError where it holds anything but tensors."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)  # runs no code that a pickle names
        found = found.get("state_dict", found)
        # data-parallel training leaves the prefix
        return {str(name).removeprefix("module."): value.float().numpy() for name, value in found.items()}
    except Exception as error:  # what torch's readers raise shares no base class
        raise CosfaceError("no checkpoint of plain tensors", path, "give a detector's file") from error
