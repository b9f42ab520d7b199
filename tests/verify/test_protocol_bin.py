"""InsightFace's sets with a network that only averages pixels, so that every score is known; its folds and its rule."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.roc import fold_accuracy
from cosface_cli.verify.figures.protocol_page import write_report
from cosface_cli.verify.protocols.insightface_bin import BinConfig, consecutive_folds
from cosface_cli.verify.stage import run_protocol, verify_protocol
from tests.verify.conftest import collect


@pytest.fixture(scope="module")
def averaging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX network for 112 x 112 crops: the means of 7 x 7 tiles of each colour, 147 numbers."""
    from onnx import TensorProto, helper, save

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 112, 112])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 147])
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "averaging", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path_factory.mktemp("net") / "averaging.onnx"
    save(model, path)
    return path


def pictures(count: int) -> list[np.ndarray]:
    """Pairs of pictures (112, 112, 3): the second is the first with noise, or, for each odd pair, another one."""
    random = np.random.default_rng(0)

    def picture() -> np.ndarray:
        return np.kron(random.integers(0, 256, (7, 7, 3)), np.ones((16, 16, 1))).astype(np.uint8)

    out = []
    for number in range(count):
        first = picture()
        second = picture() if number % 2 else np.clip(first + random.normal(0, 60, first.shape), 0, 255)
        out += [first, second.astype(np.uint8)]
    return out


def encoded(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def cosines(images: list[np.ndarray]) -> np.ndarray:
    tiles = np.array([image.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).ravel() - 127.5 for image in images])
    tiles /= np.linalg.norm(tiles, axis=1, keepdims=True)
    return np.einsum("nd,nd->n", tiles[0::2], tiles[1::2])


def test_scores_and_folds(averaging: Path, tmp_path: Path):
    images = pictures(24)
    same = [number % 2 == 0 for number in range(24)]
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([encoded(image) for image in images], same), 4))
    notes: list[str] = []
    scored, found = run_protocol(
        BinConfig(source=path, models=(str(averaging),), workers=1),
        collect(notes),
    )
    assert scored.pairs is not None and scored.pairs.scores == pytest.approx(cosines(images), abs=2e-5)
    assert scored.pairs.same.tolist() == same
    assert (found.protocol, found.pairs, found.folds) == ("bin", 24, 10)
    assert found.accuracy == fold_accuracy(cosines(images), same, consecutive_folds(24, 10)).mean
    assert found.details["set"] == "lfw"


def test_its_images_are_on_the_page(averaging: Path, tmp_path: Path):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([encoded(image) for image in pictures(4)], [True, False] * 2), 4))
    scored, report = run_protocol(BinConfig(source=path, models=(str(averaging),), workers=1))
    write_report(tmp_path / "page.html", scored, report)
    assert (tmp_path / "page.html").read_text().count("data:image/webp;base64,") == 8


def test_folds_are_those_of_scikit_learn_s_k_fold():
    selection = pytest.importorskip("sklearn.model_selection")
    for count in (10, 24, 6000, 7003):
        folds = consecutive_folds(count, 10)
        for number, (_, held_out) in enumerate(selection.KFold(10, shuffle=False).split(np.zeros(count)), 1):
            assert np.flatnonzero(folds == number).tolist() == held_out.tolist()


@pytest.mark.parametrize("spread", (0.1, 0.2, 0.4))
def test_accuracy_beside_the_rule_of_the_field_s_evaluator(spread: float):
    """FaceNet's rule, which InsightFace uses: of squared distances 0, .01 ... 4 the first that is best on the other
    folds. With distances between those steps each cut has its step, so ours is as good on the other folds, to the last
    digit; of cuts that are equally good there each takes its own, so on the fold itself they differ by few pairs."""
    selection = pytest.importorskip("sklearn.model_selection")
    random = np.random.default_rng(3)
    same = random.random(6000) < 0.5
    distance = np.floor((2 - 2 * np.clip(np.where(same, 0.7, 0.1) + random.normal(0, spread, 6000), -1, 1)) * 100)
    distance = (distance + 0.5) / 100
    scores = 1 - distance / 2
    found = fold_accuracy(scores, same, consecutive_folds(6000, 10))
    steps = np.arange(0, 4, 0.01)
    accuracies = []
    for threshold, (others, own) in zip(found.thresholds, selection.KFold(10).split(scores), strict=True):
        right = [((distance[others] < step) == same[others]).mean() for step in steps]
        assert ((scores[others] >= threshold) == same[others]).mean() == max(right)
        accuracies.append(((distance[own] < steps[int(np.argmax(right))]) == same[own]).mean())
    assert found.mean == pytest.approx(np.mean(accuracies), abs=1e-3)


def test_pictures_that_cannot_be_used_are_named(averaging: Path, tmp_path: Path):
    images = [encoded(image) for image in pictures(4)]
    images[2] = b"no picture"
    small = io.BytesIO()
    Image.new("RGB", (96, 112)).save(small, "PNG")
    images[5] = small.getvalue()
    path = tmp_path / "cfp_fp.bin"
    path.write_bytes(pickle.dumps((images, [True, False, True, False]), 2))
    found = verify_protocol(BinConfig(source=path, models=(str(averaging),), workers=1))
    assert found.missing == (f"{path}[2]", f"{path}[5]") and (found.pairs, found.scored) == (4, 2)


def test_files_and_models_that_do_not_fit(averaging: Path, tmp_path: Path):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([encoded(image) for image in pictures(2)], [True, False]), 4))
    with pytest.raises(
        CosfaceError, match=r"crops of template 'arcface' do not show all .* give a --model for arcface"
    ):
        verify_protocol(BinConfig(source=path))
    with pytest.raises(CosfaceError, match="not an InsightFace set"):
        verify_protocol(BinConfig(source=averaging, models=(str(averaging),)))
