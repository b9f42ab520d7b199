"""MegaFace's feature files: the bytes that its devkit and others write, and files that are damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.packed.feature_bin import find_features, photo_of, read_feature, write_feature
from cosface_cli.errors import CosfaceError

VECTOR = [0.5, -1.25, 3.0]
COLUMN = struct.pack("<4i", 3, 1, 4, 5) + struct.pack("<3f", *VECTOR)


def test_the_bytes_of_a_column(tmp_path: Path):
    path = tmp_path / "f.bin"
    write_feature(path, VECTOR)
    assert path.read_bytes() == COLUMN
    assert read_feature(path).tolist() == VECTOR and read_feature(path).dtype == np.float32


@pytest.mark.parametrize(
    "content",
    (
        struct.pack("<4i", 1, 3, 12, 5) + struct.pack("<3f", *VECTOR),
        struct.pack("<4i", 1, 3, 24, 6) + struct.pack("<3d", *VECTOR),
        struct.pack("<4i", 3, 1, 8, 5) + b"".join(struct.pack("<f4x", value) for value in VECTOR),
    ),
    ids=("a row", "doubles", "rows further apart"),
)
def test_other_matrices(tmp_path: Path, content: bytes):
    path = tmp_path / "f.bin"
    path.write_bytes(content)
    assert read_feature(path).tolist() == VECTOR


@pytest.mark.parametrize(
    ("content", "words"),
    (
        (COLUMN[:10], "shorter than the header"),
        (COLUMN[:-1], "damaged: the header declares 3 rows of 4 bytes, 11 follow"),
        (COLUMN + b"x", "damaged"),
        (struct.pack("<4i", 3, 1, 4, 0) + COLUMN[16:], "a matrix of 3 x 1, type 0"),
        (struct.pack("<4i", 2, 2, 8, 5) + bytes(16), "a matrix of 2 x 2"),
        (struct.pack("<4i", -3, 1, 4, 5) + COLUMN[16:], "not a MegaFace feature"),
        (struct.pack("<4i", 3, 1, -4, 5) + COLUMN[16:], "damaged"),
        (struct.pack("<4i", 2**31 - 1, 1, 4, 5) + COLUMN[16:], "damaged"),
        (struct.pack("<4i", 1, 2**31 - 1, 4, 5) + COLUMN[16:], "damaged"),
        (struct.pack("<4i", 2, 1, 4, 5) + struct.pack("<2f", 1.0, float("nan")), "not finite, or has length 0"),
        (struct.pack("<4i", 2, 1, 4, 5) + bytes(8), "not finite, or has length 0"),
    ),
)
def test_what_is_no_feature(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "f.bin"
    path.write_bytes(content)
    with pytest.raises(CosfaceError, match=words):
        read_feature(path)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_vector_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("features") / "f.bin"
    path.write_bytes(content)
    try:
        assert read_feature(path).ndim == 1
    except CosfaceError as error:
        assert "\n" not in str(error)


def test_names_of_photos():
    assert photo_of("Adam_Brody/Adam_Brody_277.png_insight_face.bin") == "Adam_Brody/Adam_Brody_277.png"
    assert photo_of("a_b/1.JPG_x.bin") == "a_b/1.JPG" and photo_of("a_b/1.jpg.bin") == "a_b/1.jpg"
    assert photo_of("plain.bin") == "plain"


def test_a_folder(tmp_path: Path):
    for name in ("b/2.jpg_x.bin", "a/1.jpg_x.bin", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(COLUMN)
    assert list(find_features(tmp_path)) == ["a/1.jpg", "b/2.jpg"]
    (tmp_path / "a" / "1.jpg_y.bin").write_bytes(COLUMN)
    with pytest.raises(CosfaceError, match=r"two features of a/1\.jpg"):
        find_features(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CosfaceError, match=r"no \.bin features"):
        find_features(tmp_path / "empty")
    with pytest.raises(CosfaceError, match="no such folder"):
        find_features(tmp_path / "none")
