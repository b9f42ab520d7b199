"""RetinaFace as insightface exports it; PyTorch checkpoints are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.errors import CosfaceError


def five_strides(score: float) -> bytes:
    """insightface's RetinaFace with 15 outputs: score, box and landmarks at five strides, one anchor per cell. This one
    reports the same face in every picture: 160 x 192 pixels with its centre at (320, 256), from stride 32."""
    nodes, constants, outputs = [], [], []
    left_top_right_bottom = np.float32([80, 96, 80, 96]) / 32
    points = np.float32([-30, -20, 30, -20, 0, 10, -25, 50, 25, 50]) / 32
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32, 64, 128):
            side = 640 // stride
            value = np.zeros((side * side, width), np.float32)
            if stride == 32:
                value[8 * side + 10] = {"score": score, "box": left_top_right_bottom, "points": points}[kind]
            name = f"{kind}_{stride}"
            constants.append(numpy_helper.from_array(value, f"c_{name}"))
            nodes.append(helper.make_node("Add", [f"c_{name}", "nought"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    nodes.insert(0, helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0))
    nodes.insert(1, helper.make_node("Sub", ["mean", "mean"], ["nought"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 640, 640])
    made = helper.make_graph(nodes, "retinaface", [x], outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_insightface_s_layout_of_five_strides(tmp_path: Path) -> None:
    path = tmp_path / "retinaface.onnx"
    path.write_bytes(five_strides(0.9))
    detector = open_detector(str(path), 20)
    assert detector.name.startswith("retinaface-")
    same, half = detector.detect([np.zeros((640, 640, 3), np.uint8), np.zeros((320, 320, 3), np.uint8)])
    np.testing.assert_allclose(same.boxes, [[240, 160, 400, 352]], atol=1e-3)
    np.testing.assert_allclose(same.scores, [0.9])
    want = np.array([[290, 236], [350, 236], [320, 266], [295, 306], [345, 306]])
    np.testing.assert_allclose(same.landmarks[0], want, atol=1e-3)
    np.testing.assert_allclose(half.landmarks[0], want / 2, atol=1e-3)
    path.write_bytes(five_strides(0.4))
    assert not len(open_detector(str(path), 20).detect([np.zeros((640, 640, 3), np.uint8)])[0])


def test_a_pytorch_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "retinaface_mobilenet0.25_Final.pth"
    path.write_bytes(b"\x80\x02")
    with pytest.raises(CosfaceError, match=r"Final\.pth: PyTorch checkpoints of detectors are not supported; .*\.onnx"):
        open_detector(str(path), 20)
