"""MXNet's RecordIO files are read as they were written."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import pytest

from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.errors import CosfaceError, PhotoError
from tests.record_files import MAGIC, as_insightface, packed, write_records

JPEG = b"\xff\xd8\xff\xe0" + bytes(21)
IMAGES = [(0, JPEG + b"a"), (0, JPEG + b"bc"), (1, JPEG + b"def"), (12, b"\x89PNG" + bytes(99))]


def test_an_insightface_set(tmp_path: Path):
    path = write_records(tmp_path / "train.rec", as_insightface(IMAGES))
    listing = list_photos(str(path))
    found = {item.name: pickle.loads(pickle.dumps(item.place)).read() for item in listing.items}
    assert list(found.items()) == [(f"{label}/{n}.jpg", image) for n, (label, image) in enumerate(IMAGES, 1)]
    assert [item.identity for item in listing.items] == ["0", "0", "1", "12"]
    assert listing.items[0].display_name == f"{path}/0/1.jpg"
    assert listing.items[0].place.status() == (len(IMAGES[0][1]), path.stat().st_mtime_ns)


def test_keys_come_from_the_index_and_without_one_from_the_position(tmp_path: Path):
    path = write_records(
        tmp_path / "a.rec", [packed(5.0, 9, JPEG), packed([6.0, 1.5], 9, JPEG), packed(0.5, 9, JPEG)], [70, 8, 9]
    )
    assert {item.name for item in list_photos(str(path)).items} == {"5/70.jpg", "6/8.jpg", "0.5/9.jpg"}
    path.with_suffix(".idx").unlink()
    assert {item.name for item in list_photos(str(path.rename(tmp_path / "b"))).items} == {
        "5/0.jpg",
        "6/1.jpg",
        "0.5/2.jpg",
    }
    path = write_records(tmp_path / "c.rec", [packed(5.0, 9, JPEG)])
    path.with_suffix(".idx").write_text("no index")
    with pytest.raises(CosfaceError, match=r"c\.idx: not an index of records"):
        list_photos(str(path))


@pytest.mark.parametrize("before", (0, 4, 24, 400))
def test_images_that_hold_the_magic(tmp_path: Path, before: int):
    """They are cut into parts on writing."""
    magic = struct.pack("<I", MAGIC)
    images = [JPEG[:4] + bytes(before) + magic + b"1234" + magic + magic + b"tail", JPEG]
    path = write_records(tmp_path / "a.rec", [packed(3.0, n, image) for n, image in enumerate(images)])
    assert [item.place.read() for item in list_photos(str(path)).items] == images
    path = write_records(tmp_path / "b.rec", [packed([struct.unpack("<f", magic)[0], 2.0], 0, JPEG)])
    assert [item.place.read() for item in list_photos(str(path)).items] == [JPEG]


def test_a_file_cut_or_damaged_is_a_one_line_error(tmp_path: Path):
    whole = write_records(tmp_path / "a.rec", as_insightface(IMAGES)).read_bytes()
    path = tmp_path / "b.rec"
    starts = {0}
    at = 0
    while at < len(whole):
        at += 8 + (struct.unpack_from("<I", whole, at + 4)[0] + 3) // 4 * 4
        starts.add(at)
    for size in range(1, len(whole) - 3):
        path.write_bytes(whole[:size])
        listed = size in starts or any(0 < start - size < 4 for start in starts)  # only padding is missing
        if not listed:
            with pytest.raises(CosfaceError, match=r"b\.rec: damaged RecordIO file, at byte"):
                list_photos(str(path))
    path.write_bytes(whole[:8] + bytes(1) + whole[9:40] + b"????" + whole[44:])
    with pytest.raises(CosfaceError, match="damaged RecordIO"):
        list_photos(str(path))


def test_a_file_that_changes_meanwhile(tmp_path: Path):
    path = write_records(tmp_path / "a.rec", as_insightface(IMAGES))
    items = list_photos(str(path)).items
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(PhotoError) as caught:
        items[-1].place.read()
    assert caught.value.reason == "truncated"
    path.unlink()
    with pytest.raises(PhotoError, match=r"a\.rec/0/1\.jpg: cannot be read"):
        items[0].place.read()


def test_damaged_labels(tmp_path: Path):
    path = write_records(
        tmp_path / "a.rec", [packed(float("nan"), 0, JPEG), packed(float("inf"), 1, JPEG), packed(-1.0, 2, JPEG)]
    )
    assert {item.name for item in list_photos(str(path)).items} == {"nan/0.jpg", "inf/1.jpg", "-1/2.jpg"}
    path.write_bytes(struct.pack("<II", MAGIC, 24) + struct.pack("IfQQ", 2**32 - 1, 0, 0, 0))
    with pytest.raises(CosfaceError, match="damaged RecordIO"):
        list_photos(str(path))
