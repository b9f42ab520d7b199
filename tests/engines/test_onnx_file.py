"""Networks in an ONNX file given by path: fed as the file's own notes say, where it has some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cosface_cli.artifacts.run.weights import read_trained
from cosface_cli.backbones.build_backbone import load
from cosface_cli.backbones.export import to_onnx
from cosface_cli.engines.embedders.onnx_file import notes_of
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.errors import DamagedError
from tests.runs import a_run


def exported(path: Path, notes: dict[str, str] | None) -> Path:
    """The network of a made run for 96 x 112 pixels, which two templates have, as a file with notes."""
    _, header, tensors = read_trained(a_run(path.parent / "run", "sphere4"))
    path.write_bytes(to_onnx(load(header.backbone, header.embedding_size, tensors), 112, 96, notes))
    return path


def test_its_own_notes_say_how_to_feed_it(tmp_path: Path, model_cache: Path) -> None:
    path = exported(tmp_path / "noted.onnx", notes_of("sphereface", (100.0, 110.0, 120.0), (64.0, 128.0, 32.0)))
    noted = open_embedder(str(path))
    assert noted.template == "sphereface"
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 96, 3)).astype(np.uint8)
    # the same pixels after (x - mean) / std, from a file that says nothing: what goes in decides
    path = exported(tmp_path / "bare.onnx", None)
    bare = open_embedder(str(path))
    planes = (crops.astype(np.float64) - (100, 110, 120)) / (64, 128, 32)
    want = bare._session.run(None, {"crops": planes.transpose(0, 3, 1, 2).astype(np.float32)})[0]  # type: ignore[attr-defined]
    assert np.abs(want).max() > 0.01 and np.abs(bare.embed(crops) - want).max() > 1e-3
    assert np.abs(noted.embed(crops) - want).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ("no json", "[1, 2]", "[0, 1, 1]", "[-1, 1, 1]", "[1, NaN, 1]", "7", '["a", 1, 1]'))
def test_damaged_notes_are_refused(wrong: str, tmp_path: Path, model_cache: Path) -> None:
    notes = notes_of("sphereface", (127.5,) * 3, (128.0,) * 3) | {"cosface.std": wrong}
    with pytest.raises(DamagedError, match="its metadata is damaged"):
        open_embedder(str(exported(tmp_path / "m.onnx", notes)))


def a_graph(path: Path, *first: str) -> Path:
    """A file without metadata whose output is the pixels at the top left of its input (N, 3, 112, 112), behind nodes
    that change no value: first, their kinds."""
    nodes, constants, top = [], [], "x"
    for number, kind in enumerate(first):
        neutral = {"Sub": 0.0, "Mul": 1.0, "Add": 0.0}[kind]
        constants.append(numpy_helper.from_array(np.float32([neutral]), f"c{number}"))
        nodes.append(helper.make_node(kind, [top, f"c{number}"], [f"y{number}"]))
        top = f"y{number}"
    for name, value in (("low", [0, 0]), ("high", [1, 1]), ("axes", [2, 3]), ("shape", [-1, 3])):
        constants.append(numpy_helper.from_array(np.int64(value), name))
    nodes.append(helper.make_node("Slice", [top, "low", "high", "axes"], ["pixel"]))
    nodes.append(helper.make_node("Reshape", ["pixel", "shape"], ["embedding"]))
    graph = helper.make_graph(
        nodes,
        "shows_its_input",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("first", "want"),
    [
        ((), (-1.0, 0.0039215689, 1.0)),  # (x - 127.5) / 127.5 of 0, 128 and 255, as insightface's models are fed
        (("Sub",), (-1.0, 0.0039215689, 1.0)),
        (("Mul", "Add"), (-1.0, 0.0039215689, 1.0)),
        (("Sub", "Mul"), (0.0, 128.0, 255.0)),  # it normalises its input itself
        (("Add", "Mul", "Sub"), (0.0, 128.0, 255.0)),
        (("Add",) * 6 + ("Sub", "Mul"), (0.0, 128.0, 255.0)),  # among its first eight nodes
        (("Add",) * 7 + ("Sub", "Mul"), (-1.0, 0.0039215689, 1.0)),
    ],
    ids=lambda value: "+".join(value) if value and isinstance(value[0], str) else None,
)
def test_what_a_file_without_metadata_is_fed(first: tuple[str, ...], want: tuple[float, ...], tmp_path: Path) -> None:
    crops = np.full((2, 112, 112, 3), 77, np.uint8)
    crops[:, 0, 0] = (0, 128, 255)
    embedder = open_embedder(str(a_graph(tmp_path / "bare.onnx", *first)))
    assert (embedder.template, embedder.size) == ("arcface", 3)
    np.testing.assert_allclose(embedder.embed(crops), [want, want], atol=1e-7)
