"""facenet-pytorch's MTCNN as the reference: its own code and weights, where its wheel is installed.

Its package imports torchvision at the top for three functions; only the suppression among them is called here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def nms(boxes: Any, scores: Any, _ids: Any, overlap: float) -> Any:
    """Greedy suppression as torchvision does it, for boxes of one picture."""
    import torch

    b, left, keep = boxes.numpy().astype(float), np.argsort(-scores.numpy(), kind="stable"), []
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    while len(left):
        i, left = left[0], left[1:]
        keep.append(i)
        size = np.minimum(b[i, 2:], b[left, 2:]) - np.maximum(b[i, :2], b[left, :2])
        shared = np.maximum(size, 0).prod(axis=1)
        left = left[shared / (area[i] + area[left] - shared) <= overlap]
    return torch.as_tensor(np.array(keep, dtype=np.int64))


class Facenet:
    """nets: its PNet, RNet and ONet by lower-case name; detect: RGB picture -> boxes with score (N, 5), points."""

    def __init__(self) -> None:
        folder = package_folder()
        assert folder is not None
        stubs = {
            "torchvision": {},
            "torchvision.transforms": {"functional": ModuleType("functional")},
            "torchvision.ops": {},
            "torchvision.ops.boxes": {"batched_nms": nms},
        }
        for name, attributes in stubs.items():
            sys.modules[name] = ModuleType(name)
            vars(sys.modules[name]).update(attributes)
        # its __init__ would import more than the detector
        for name, place in (("facenet_pytorch", folder), ("facenet_pytorch.models", folder / "models")):
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = [str(place)]
        try:
            networks = import_module("facenet_pytorch.models.mtcnn")
        finally:
            for name in [name for name in sys.modules if name in stubs or name.startswith("facenet_pytorch")]:
                del sys.modules[name]
        self.nets = {"pnet": networks.PNet(), "rnet": networks.RNet(), "onet": networks.ONet()}
        self._detect_face: Callable[..., Any] = networks.detect_face

    def detect(self, image: np.ndarray, min_face: int = 20) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.no_grad():
            boxes, points = self._detect_face(
                image, min_face, *self.nets.values(), [0.6, 0.7, 0.7], 0.709, torch.device("cpu")
            )
        return np.asarray(boxes[0], np.float32).reshape(-1, 5), np.asarray(points[0], np.float32).reshape(-1, 5, 2)


def package_folder() -> Path | None:
    """Where its wheel is installed."""
    spec = find_spec("facenet_pytorch")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
