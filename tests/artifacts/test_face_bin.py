"""InsightFace's sets as every Python writes them, and pickles that would rather do something else."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.packed.face_bin import BinImage, is_pickle, read_face_bin
from cosface_cli.errors import CosfaceError, PhotoError

IMAGES = [bytes([n]) * (200 * n + 1) + b"\xff\xd8\x00\n" for n in range(6)]
SAME = [True, False, True]


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "set.bin"
    path.write_bytes(content)
    return path


def python_2(images: list[bytes], same: list[bool]) -> bytes:
    """As cPickle of Python 2 writes a tuple of str and bool lists in protocol 2."""
    out = b"\x80\x02]q\x01("
    for number, image in enumerate(images):
        short = len(image) < 256
        out += (b"U" + bytes([len(image)]) if short else b"T" + struct.pack("<i", len(image))) + image
        out += b"r" + struct.pack("<I", 1000 + number)
    return out + b"e]q\x02(" + b"".join(b"\x88" if s else b"\x89" for s in same) + b"e\x86q\x03."


@pytest.mark.parametrize("protocol", (2, 3, 4, 5, "python 2"))
def test_the_same_images_whoever_wrote_them(tmp_path: Path, protocol: Any):
    content = python_2(IMAGES, SAME) if protocol == "python 2" else pickle.dumps((IMAGES, SAME), protocol)
    path = written(tmp_path, content)
    assert is_pickle(path)
    found = read_face_bin(path)
    assert [image.read() for image in found.images] == IMAGES
    assert found.same == (True, False, True)


def test_pythons_agree_on_what_the_old_one_wrote():
    assert pickle.loads(python_2(IMAGES, SAME), encoding="bytes") == (IMAGES, SAME)


def test_a_list_of_lists_zeros_and_ones_and_a_repeated_image(tmp_path: Path):
    path = written(tmp_path, pickle.dumps([[IMAGES[1], IMAGES[1], IMAGES[2], IMAGES[1]], [1, 0]], 4))
    found = read_face_bin(path)
    assert [image.read() for image in found.images] == [IMAGES[1], IMAGES[1], IMAGES[2], IMAGES[1]]
    assert found.same == (True, False)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Sneaky:
    """The same through a class, by its state, or a name found at run time."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').system('touch owned')",)


def hostile(tmp_path: Path) -> dict[str, bytes]:
    owned = tmp_path / "owned"
    command = f"touch {owned}"
    evil = {f"reduce {p}": pickle.dumps(([Evil(command)] * 2, [True]), p) for p in range(6)}
    evil |= {f"eval {p}": pickle.dumps(([IMAGES[0], IMAGES[1]], [Sneaky()]), p) for p in (2, 4)}
    text = b"cos\nsystem\n"
    evil["global in the middle"] = b"\x80\x02" + text + b"X" + struct.pack("<I", len(command)) + command.encode()
    evil["global in the middle"] += b"\x85R0" + pickle.dumps((IMAGES[:2], [True]), 2)[2:]
    evil["inst"] = b"\x80\x02(X\x01\x00\x00\x00xios\nsystem\n."
    evil["obj"] = b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo."
    evil["newobj"] = b"\x80\x02cos\nsystem\n)\x81."
    evil["build"] = b"\x80\x02]q\x01}b."
    evil["stack global"] = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    evil["persistent id"] = b"\x80\x02Pabc\n."
    evil["extension"] = b"\x80\x02\x82\x01."
    evil["encode with another codec"] = b"\x80\x02c_codecs\ndecode\nX\x01\x00\x00\x00x\x85R."
    evil["encode of a list"] = b"\x80\x02c_codecs\nencode\n]]\x86R."
    evil["encode as a value"] = b"\x80\x02](c_codecs\nencode\nU\x01xe]\x88a\x86."
    evil["numpy"] = pickle.dumps(([np.zeros(3, np.uint8)] * 2, [True]), 2)
    evil["ordered dict"] = pickle.dumps((collections.OrderedDict(), [True]), 4)
    return evil


def test_nothing_is_ever_run(tmp_path: Path):
    names = hostile(tmp_path)
    assert len(names) > 15
    for name, content in names.items():
        with pytest.raises(CosfaceError) as caught:
            read_face_bin(written(tmp_path, content))
        assert "set.bin" in str(caught.value) and "\n" not in str(caught.value), name
        assert not (tmp_path / "owned").exists() and not Path("owned").exists(), name
    with pytest.raises(CosfaceError, match=r"contains more than lists of images: '(posix|os|nt)\.system' was not run"):
        read_face_bin(written(tmp_path, names["reduce 2"]))


def test_the_hostile_pickles_are_real(tmp_path: Path):
    """So that the test above means something: plain unpickling of the first runs its command."""
    pickle.loads(hostile(tmp_path)["reduce 2"])
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    (
        (b"", "no end|damaged"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x02].", "expected two lists"),
        (pickle.dumps((IMAGES, [True]), 2), "got 6 images and 1 pairs"),
        (pickle.dumps(([], []), 2), "got 0 images and 0 pairs"),
        (pickle.dumps((IMAGES, ["yes"] * 3), 2), "a list of booleans"),
        (pickle.dumps((IMAGES, [2] * 3), 2), "a list of booleans"),
        (pickle.dumps(([1] * 6, [True] * 3), 2), "a list of booleans"),
        (pickle.dumps((tuple(IMAGES), SAME), 2), "expected two lists"),
        (b"\x80\x02\x86.", "damaged"),
        (b"\x80\x02e.", "damaged"),
        (b"\x80\x02a.", "damaged"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02q\x07.", "damaged"),
        (b"\x80\x02R.", "damaged"),
        (b"\x80\x02K\x01K\x02a.", "damaged"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.", "damaged"),
        (b"\x80\x04B" + struct.pack("<I", (1 << 32) - 1) + b"abc.", "damaged"),
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.", "contains more than"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "expected two lists"),
        (b"\x80\x02I" + b"9" * 100_000 + b"\n.", "damaged"),
        (b"\x80\x09.", "expected two lists|damaged"),
    ),
)
def test_what_is_no_set(tmp_path: Path, content: bytes, words: str):
    with pytest.raises(CosfaceError, match=words):
        read_face_bin(written(tmp_path, content))


def test_every_cut_is_damage(tmp_path: Path):
    content = pickle.dumps(([b"abc", b"defg"], [True]), 4)
    for end in range(len(content)):
        with pytest.raises(CosfaceError):
            read_face_bin(written(tmp_path, content[:end]))


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=120), st.binary(max_size=80).map(lambda b: b"\x80\x02" + b)))
def test_any_bytes_are_a_set_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = written(tmp_path_factory.mktemp("bins"), content)
    try:
        read_face_bin(path)
    except CosfaceError as error:
        assert "\n" not in str(error)


def test_an_image_that_changed_and_files_that_are_not_there(tmp_path: Path):
    path = written(tmp_path, pickle.dumps((IMAGES, SAME), 2))
    image = read_face_bin(path).images[-1]
    path.write_bytes(path.read_bytes()[: image.offset + 3])
    with pytest.raises(PhotoError, match="the file has changed"):
        image.read()
    with pytest.raises(PhotoError, match="cannot be read"):
        BinImage(tmp_path / "none", 0, 0, 1).read()
    with pytest.raises(CosfaceError, match="no such file"):
        read_face_bin(tmp_path / "none.bin")
    assert not is_pickle(tmp_path / "none.bin") and not is_pickle(written(tmp_path, b"\x89HDF"))


def test_pickle_of_its_place_is_small(tmp_path: Path):
    image = read_face_bin(written(tmp_path, pickle.dumps((IMAGES, SAME), 2))).images[0]
    assert pickle.loads(pickle.dumps(image)) == image and len(pickle.dumps(image)) < 400
    assert io.BytesIO(image.read()).read() == IMAGES[0] and image.status()[0] == image.size
