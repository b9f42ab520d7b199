"""Weights files: what the header says comes back, the id is the tensors', hostile headers are one line of error."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.run.weights import (
    SCHEMA,
    Weights,
    read_header,
    read_metadata,
    read_tensors,
    save_tensors,
    save_weights,
    tensors_id,
)
from cosface_cli.errors import CosfaceError

TENSORS = {
    "stem.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a": np.array([1.5, -2.0], np.float16),
    "count": np.array(7, np.int64),
    "empty": np.zeros((0, 5), np.float32),
}
HEADER = Weights(
    backbone="sphereface20",
    embedding_size=512,
    template="sphereface",
    model_id="0123abcd",
    mean=(1.0, 2.0, 3.5),
    std=(128.0, 64.0, 32.0),
    flip="concat",
    loss={"name": "cosface", "s": 64.0, "m": 0.35},
    identities=10_575,
    data={"hash": "ff", "crops": 9},
    licence="CC0-1.0",
    lineage=("base", "名"),
    threshold=0.31,
)


def test_the_header_comes_back(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save_weights(path, TENSORS, HEADER)
    assert read_header(path) == HEADER
    found = read_tensors(path)
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        np.testing.assert_array_equal(found[name], tensor)


def test_the_format_is_plain_safetensors(tmp_path: Path):
    """8 bytes of length, JSON, raw values: read without the library."""
    path = tmp_path / "w.safetensors"
    save_weights(path, TENSORS, HEADER)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    found = json.loads(content[8 : 8 + length])
    start, stop = found["stem.weight"]["data_offsets"]
    values = np.frombuffer(content[8 + length :][start:stop], "<f4").reshape(found["stem.weight"]["shape"])
    np.testing.assert_array_equal(values, TENSORS["stem.weight"])
    assert json.loads(found["__metadata__"]["cosface"]) == json.loads(json.dumps(asdict(HEADER)))


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path):
    one, two = tmp_path / "1", tmp_path / "2"
    save_weights(one, TENSORS, HEADER)
    save_weights(two, dict(reversed(TENSORS.items())), replace(HEADER, loss=dict(reversed(HEADER.loss.items()))))
    assert one.read_bytes() == two.read_bytes()


def test_the_id_is_the_tensors_alone(tmp_path: Path):
    own = tensors_id(TENSORS)
    assert own == tensors_id(dict(reversed(TENSORS.items())))
    assert own == tensors_id({**TENSORS, "stem.weight": np.asfortranarray(TENSORS["stem.weight"])})
    for header in (HEADER, replace(HEADER, threshold=None, licence="other")):
        save_weights(tmp_path / "w", TENSORS, header)
        assert tensors_id(read_tensors(tmp_path / "w")) == own
    changed = TENSORS["stem.weight"].copy()
    changed[1, 2, 3] = np.nextafter(changed[1, 2, 3], np.float32(99))
    for other in (
        {**TENSORS, "stem.weight": changed},
        {**TENSORS, "stem.weight": TENSORS["stem.weight"].reshape(3, 2, 4)},
        {**TENSORS, "stem.weight": TENSORS["stem.weight"].view(np.int32)},
        {name: tensor for name, tensor in TENSORS.items() if name != "empty"},
        {("b" if name == "a" else name): tensor for name, tensor in TENSORS.items()},
        {**TENSORS, "count": TENSORS["count"].reshape(1)},
    ):
        assert tensors_id(other) != own


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "w"
    save_weights(path, TENSORS, HEADER)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_weights(path, TENSORS, replace(HEADER, loss={"m": object()}))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["w"]


def framed(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


def with_metadata(text: str) -> bytes:
    return framed(json.dumps({"__metadata__": {"cosface": text}}).encode())


GOOD = json.loads(json.dumps(asdict(HEADER)))


@pytest.mark.parametrize(
    ("content", "words"),
    (
        (b"", "not a .safetensors file"),
        (b"1234567", "not a .safetensors file"),
        (framed(b"", 1 << 62), "not a .safetensors file"),
        (framed(b"{}", 1 << 40), "not a .safetensors file"),
        (framed(b"{}", 15 << 20), "no cosface header"),
        (framed(b"{garbage"), "not a .safetensors file"),
        (framed(b"\xff\xfe\xfd"), "not a .safetensors file"),
        (framed(b"[1, 2]"), "not a .safetensors file"),
        (framed(b"[" * 100_000), "not a .safetensors file"),
        (framed(b'{"__metadata__": 3}'), "not a .safetensors file"),
        (framed(b"{}"), "no cosface header"),
        (framed(b'{"__metadata__": {"format": "pt"}}'), "no cosface header"),
        (with_metadata("{garbage"), "damaged"),
        (with_metadata("[" * 100_000), "damaged"),
        (with_metadata("17"), "damaged"),
        (with_metadata('"text"'), "damaged"),
        (with_metadata("{}"), "damaged"),
        (with_metadata(json.dumps({"schema": 1})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "schema": SCHEMA + 1})), "newer cosface; pip install -U cosface"),
        (with_metadata(json.dumps({**GOOD, "schema": "x"})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "mean": 3})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "mean": ["a", "b", "c"]})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "mean": [1, 2]})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "std": [1, 0, 1]})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "std": [float("nan")] * 3})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "embedding_size": "512"})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "embedding_size": -1})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "template": ["wide"]})), "damaged"),
        (with_metadata(json.dumps({**GOOD, "model_id": None})), "damaged"),
    ),
    ids=range(29),
)
def test_hostile_headers_are_one_line(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(CosfaceError, match=words) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_what_a_newer_writer_added_is_passed_over(tmp_path: Path):
    path = tmp_path / "w"
    path.write_bytes(with_metadata(json.dumps({**GOOD, "colour of the cover": "blue"})))
    assert read_header(path) == HEADER


def test_missing_and_unreadable(tmp_path: Path):
    for read in (read_header, read_metadata, read_tensors):
        with pytest.raises(CosfaceError, match="no such file"):
            read(tmp_path / "none")
        with pytest.raises(CosfaceError):
            read(tmp_path)


def test_tensors_cut_short(tmp_path: Path):
    path = tmp_path / "w"
    save_weights(path, TENSORS, HEADER)
    content = path.read_bytes()
    for cut in (3, 8, 100, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(CosfaceError, match="damaged"):
            read_tensors(path)


@settings(deadline=None)
@given(st.data())
def test_mutated_files_give_values_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.mktemp("weights") / "w"
    save_weights(path, TENSORS, HEADER)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for read in (read_header, read_tensors):
        with suppress(CosfaceError):
            read(path)


def test_without_metadata(tmp_path: Path):
    save_tensors(tmp_path / "w", TENSORS)
    assert read_metadata(tmp_path / "w") == {}
