"""The detectors that tests compare, by word or by file, and photos as detectors take them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

MODELS = ["mtcnn", "yunet_n_dynamic.onnx", "yunet_n_640_640.onnx", "scrfd_500m_kps.onnx"]
SHARED_MODELS = Path(__file__).resolve().parents[1].parent / "shared" / "models"


def model(name: str) -> Path:
    """The file of a model beside the project. Skips the test where it is absent."""
    if not (SHARED_MODELS / name).is_file():
        pytest.skip(f"needs ../shared/models/{name}")
    return SHARED_MODELS / name


def read(path: Path) -> np.ndarray:
    """RGB, uint8 (H, W, 3)."""
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
