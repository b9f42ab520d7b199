"""The built-in network against dlib itself, and its file format against damage."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.files.model_cache import packaged
from cosface_cli.artifacts.pictures import decode_file
from cosface_cli.engines.embedders import dlib_format
from cosface_cli.engines.embedders.dlib_embedder import SHA256, open_dlib
from cosface_cli.engines.embedders.dlib_format import parse
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.errors import CosfaceError

dlib: Any = pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def models() -> Path:
    spec = find_spec("face_recognition_models")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models"


@pytest.fixture(scope="module")
def embedder(model_cache: Path) -> OnnxEmbedder:
    return open_dlib()


@pytest.fixture(scope="module")
def content() -> bytes:
    return packaged("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat", SHA256).read_bytes()


@pytest.fixture(scope="module")
def chips(models: Path, packaged_photos: Path) -> np.ndarray:
    """Six real faces as dlib itself cuts them out, and noise."""
    predictor = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    image = decode_file(packaged_photos / "t1.jpg")
    boxes = dlib.get_frontal_face_detector()(image, 0)
    faces = [dlib.get_face_chip(image, predictor(image, box), 150) for box in boxes]
    assert len(faces) == 6
    noise = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    flat = [np.full((150, 150, 3), value, np.uint8) for value in (0, 255)]
    return np.stack([*faces, *noise, *flat])


def test_equal_to_dlib(models: Path, embedder: OnnxEmbedder, chips: np.ndarray):
    theirs = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    want = np.stack([np.array(theirs.compute_face_descriptor(chip)) for chip in chips])
    np.testing.assert_allclose(embedder.embed(chips), want, atol=1e-5)
    assert np.abs(want).max() > 0.1


def test_attributes_of_the_embedder(embedder: OnnxEmbedder):
    assert (embedder.name, embedder.template, embedder.size) == ("dlib", "dlib", 128)
    assert SHA256[:16] in embedder.model_id and set(embedder.thresholds) == {"none", "sum", "concat"}


def test_a_batch_changes_no_bit(embedder: OnnxEmbedder, chips: np.ndarray):
    one_by_one = np.concatenate([embedder.embed(chip[None]) for chip in chips])
    for size in (2, 3, len(chips)):
        together = np.concatenate([embedder.embed(chips[at : at + size]) for at in range(0, len(chips), size)])
        np.testing.assert_array_equal(together, one_by_one)
    np.testing.assert_array_equal(embedder.embed(chips[::-1])[::-1], one_by_one)


def test_red_and_blue_are_not_swapped_and_left_not_right(embedder: OnnxEmbedder, chips: np.ndarray):
    own = embedder.embed(chips[:6])
    for other in (chips[:6, :, :, ::-1], chips[:6, :, ::-1]):
        assert np.linalg.norm(embedder.embed(np.ascontiguousarray(other)) - own, axis=1).min() > 0.05


def test_no_crops_and_wrong_crops(embedder: OnnxEmbedder):
    assert embedder.embed(np.zeros((0, 150, 150, 3), np.uint8)).shape == (0, 128)
    for wrong in (
        np.zeros((1, 150, 150, 3), np.float32),
        np.zeros((150, 150, 3), np.uint8),
        np.zeros((1, 3, 150, 150), np.uint8),
    ):
        with pytest.raises(ValueError, match="RGB uint8"):
            embedder.embed(wrong)


def test_5_607_488_parameters(content: bytes):
    network = parse(content)
    assert sum(conv.weight.size + conv.bias.size for conv in network.convs) + network.fc.size == 5_607_488
    assert len(network.convs) == 29 and network.fc.shape == (128, 256)
    np.testing.assert_allclose(network.mean, [122.782, 117.001, 104.298], rtol=1e-6)


def test_cut_short_anywhere_is_refused(content: bytes):
    random = np.random.default_rng(0)
    cuts = [0, 1, 2, 50, 200, 500, len(content) - 1, *random.integers(0, len(content), 30)]
    for cut in cuts:
        with pytest.raises(CosfaceError, match="not dlib's recognition network"):
            parse(content[:cut])
    with pytest.raises(CosfaceError, match="bytes follow the network"):
        parse(content + b"\0")


def test_other_bytes_are_refused():
    for other in (b"\x01\x01", b"\0" * 1000, b"\xff" * 1000, os.urandom(5000), b"\x89HDF\r\n\x1a\n" * 20):
        with pytest.raises(CosfaceError):
            parse(other)


@pytest.mark.slow
def test_mutations_neither_hang_nor_swallow_memory(content: bytes, monkeypatch: pytest.MonkeyPatch):
    """Only the bytes between the tensors are changed: sizes, kinds, counts, names, numbers."""
    places: list[int] = []
    read = dlib_format._Reader.read_bytes

    def noting(self: Any, count: int) -> bytes:
        if count < 64:
            places.extend(range(self.position, self.position + count))
        return read(self, count)

    with monkeypatch.context() as patched:
        patched.setattr(dlib_format._Reader, "read_bytes", noting)
        parse(content)
    assert 5000 < len(places) < 10_000
    random = np.random.default_rng(1)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(60):
            damaged = bytearray(content)
            for at in random.choice(places, 2):
                damaged[at] = random.integers(256)
            try:
                parse(bytes(damaged))
            except CosfaceError:
                refused += 1
        assert tracemalloc.get_traced_memory()[1] < 6 * len(content)
    finally:
        tracemalloc.stop()
    assert refused > 30


@pytest.mark.parametrize("exponent", (b"\x0f" + b"\xff" * 15, b"\x02\xff\xff"))
def test_numbers_beyond_any_float(content: bytes, exponent: bytes):
    """In place of the margin behind the first name."""
    reader = dlib_format._Reader(content)
    reader.integer()
    reader.string()
    start = reader.position
    reader.real()
    with pytest.raises(CosfaceError, match="not dlib's recognition network"):
        parse(content[:start] + b"\x01\x01" + exponent + content[reader.position :])


SECOND = """
import sys
from cosface_cli.engines.embedders import dlib_format, dlib_embedder

def parse(content):
    raise AssertionError("parsed again")

dlib_embedder.parse = dlib_format.parse = parse
embedder = dlib_embedder.open_dlib()
loaded = {"onnx", "torch", "dlib", "face_recognition_models", "h5py", "faiss"} & set(sys.modules)
assert not loaded, loaded
"""


def test_a_second_open_is_quick(embedder: OnnxEmbedder):
    done = subprocess.run([sys.executable, "-c", SECOND], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
