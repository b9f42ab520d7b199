"""RetinaFace: the converted graph against plain torch, decoding by hand, files of every wrong kind, insightface's."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from retinaface_reference import Reference, decode

from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.detectors.retinaface import open_graph, open_retinaface
from cosface_cli.engines.detectors.retinaface_boxes import decoded, priors
from cosface_cli.engines.detectors.retinaface_convert import LAYOUTS, tensors
from cosface_cli.engines.detectors.retinaface_graph import onnx_bytes
from cosface_cli.errors import CosfaceError

SHARED_MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "models"


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    path = SHARED_MODELS / "retinaface_mobilenet0.25_Final.pth"
    if not path.is_file():
        pytest.skip("needs ../shared/models/retinaface_mobilenet0.25_Final.pth")
    return path


@pytest.fixture(scope="module")
def params(checkpoint: Path) -> Mapping[str, np.ndarray]:
    return tensors(checkpoint)


@pytest.fixture(scope="module")
def group(packaged_photos: Path) -> np.ndarray:
    image = cv2.imread(str(packaged_photos / "t1.jpg"))
    return np.ascontiguousarray(cv2.resize(image, (640, 443), interpolation=cv2.INTER_AREA)[..., ::-1])


@pytest.mark.parametrize("layout", LAYOUTS, ids=("leaky", "plain"))
@pytest.mark.parametrize("size", [(443, 640), (97, 131), (33, 1)])
def test_the_graph_is_the_network(
    layout: Any, size: tuple[int, int], checkpoint: Path, params: Mapping[str, np.ndarray], group: np.ndarray
) -> None:
    """Also at sizes that are no multiples of the strides, where the maps are rounded up and grow unevenly."""
    image = np.ascontiguousarray(group[: size[0], 200 : 200 + size[1]] if size[1] < 640 else group)
    session = open_graph(onnx_bytes(params, layout.slope, {}))
    score, box, points = (out[0] for out in session.run(["score", "box", "points"], {"x": image[None]}))
    with torch.no_grad():
        want_score, want_box, want_points = Reference(checkpoint, layout.slope)(image)
    np.testing.assert_allclose(score, want_score, atol=1e-4)
    np.testing.assert_allclose(box, want_box, atol=1e-4)
    np.testing.assert_allclose(points, want_points, atol=1e-4)
    boxes, landmarks = decoded(priors(*image.shape[:2], layout.sides), box, points)
    want_boxes, want_landmarks = decode(*image.shape[:2], layout.sides, want_box, want_points)
    np.testing.assert_allclose(boxes, want_boxes, atol=5e-3)
    np.testing.assert_allclose(landmarks, want_landmarks, atol=5e-3)


def test_pictures_in_one_batch_are_pictures_alone(params: Mapping[str, np.ndarray], group: np.ndarray) -> None:
    session = open_graph(onnx_bytes(params, 0.0, {}))
    both = np.stack([group, group[:, ::-1]])
    together = session.run(None, {"x": both})
    for i in (0, 1):
        for out, alone in zip(together, session.run(None, {"x": both[i : i + 1]}), strict=True):
            np.testing.assert_allclose(out[i], alone[0], atol=1e-5)


def test_priors_by_hand() -> None:
    """17 x 9 pixels: 3 x 2 places at stride 8, 2 x 1 at 16, 1 x 1 at 32, two priors each."""
    found = priors(17, 9, ((16, 32), (64, 128), (256, 512)))
    assert found.shape == (2 * (6 + 2 + 1), 3) and found.dtype == np.float32
    assert found[:3].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16]]
    assert found[4].tolist() == [4, 12, 16]
    assert found[12:].tolist() == [[8, 8, 64], [8, 8, 128], [8, 24, 64], [8, 24, 128], [16, 16, 256], [16, 16, 512]]


def test_decoding_by_hand() -> None:
    prior = np.float32([[20, 30, 10]])
    box, points = np.float32([[1, -2, 0, 5 * np.log(2)]]), np.float32([[0, 0, 1, 2, 3, 4, 5, 6, -7, -8]])
    boxes, landmarks = decoded(prior, box, points)
    np.testing.assert_allclose(boxes, [[16, 18, 26, 38]], rtol=1e-6)  # centre 21, 28; 10 wide, 20 high
    np.testing.assert_allclose(landmarks[0], [[20, 30], [21, 32], [23, 34], [25, 36], [13, 22]], rtol=1e-6)


def test_torch_is_for_the_conversion_only(checkpoint: Path) -> None:
    open_detector(str(checkpoint), 20)
    code = (
        "import sys; from cosface_cli.engines.detectors.opening import open_detector; "
        "import numpy as np; d = open_detector(sys.argv[1], 20); d.detect([np.zeros((99, 99, 3), np.uint8)]); "
        "print({'torch', 'onnx', 'insightface'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, checkpoint], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_options_matter(checkpoint: Path, packaged_photos: Path) -> None:
    image = np.ascontiguousarray(cv2.imread(str(packaged_photos / "t1.jpg"))[..., ::-1])
    assert len(open_retinaface(checkpoint, score=0.999).detect([image])[0]) < 6
    assert len(open_retinaface(checkpoint, overlap=1.0).detect([image])[0]) > 6
    small, usual = (open_retinaface(checkpoint, long_side=side).detect([image])[0] for side in (320, 640))
    assert not np.array_equal(small.boxes, usual.boxes)


def test_a_checkpoint_in_other_wrappings(checkpoint: Path, tmp_path: Path) -> None:
    """As data-parallel training saves it, by today's torch."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    torch.save({"epoch": 250, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "a.pth.tar")
    plain, wrapped = tensors(checkpoint), tensors(tmp_path / "a.pth.tar")
    assert plain.keys() == wrapped.keys()
    assert all(np.array_equal(plain[name], wrapped[name]) for name in plain)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def test_wrong_files_are_one_line(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = dict(torch.load(checkpoint, map_location="cpu", weights_only=True))

    def refused(match: str) -> None:
        with pytest.raises(CosfaceError, match=match) as caught:
            open_detector("odd.pth", 20)
        assert str(caught.value).startswith("odd.pth: ") and "\n" not in str(caught.value)

    torch.save({"fc.weight": torch.zeros(3)}, "odd.pth")
    refused(r"no RetinaFace with MobileNet-0.25 \(no body.stage1.0.0.weight\)")
    torch.save({**state, "fpn.merge1.0.weight": torch.zeros(64, 32, 3, 3)}, "odd.pth")
    refused("its layers do not fit together")
    torch.save({**state, **{k: v * 0 for k, v in state.items() if "Head" in k}}, "odd.pth")
    refused("finds no faces in a photo of six")
    torch.save([1, 2], "odd.pth")
    refused("no checkpoint of plain tensors")
    torch.save({"a": Evil()}, "odd.pth")
    refused("no checkpoint of plain tensors")
    whole = checkpoint.read_bytes()
    Path("odd.pth").write_bytes(whole[: len(whole) // 2])
    refused("no checkpoint of plain tensors")
    with zipfile.ZipFile("odd.pth", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(Evil()))
    refused("no checkpoint of plain tensors")
    assert not Path("evil").exists()


def five_strides(score: float) -> bytes:
    """insightface's RetinaFace with 15 outputs: score, box and landmarks at five strides, one anchor a place. This one
    gives the same answer to every picture: a face of 160 x 192 pixels about (320, 256), from stride 32."""
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


def test_the_metadata_tells_the_priors(params: Mapping[str, np.ndarray]) -> None:
    sides = json.dumps(LAYOUTS[1].sides)
    model = onnx.load(io.BytesIO(onnx_bytes(params, 0.0, {"sides": sides})))
    assert {prop.key: prop.value for prop in model.metadata_props} == {"sides": sides}
