"""Videos as sources: films whose frames tell their own time by their grey."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosface_cli.artifacts import pictures
from cosface_cli.engines.sources import Item
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.errors import PhotoError

KINDS = (("clip.avi", "MJPG"), ("clip.mp4", "mp4v"), ("clip.mkv", "mp4v"), ("clip.mov", "mp4v"))


def film(
    path: Path, frames: int = 35, rate: float = 10.0, code: str = "MJPG", size: tuple[int, int] = (96, 64)
) -> Path:
    """Frame n has the grey 7 n on its left, and white in its right third."""
    out = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), rate, size)
    assert out.isOpened()
    for number in range(frames):
        picture = np.full((64, 96, 3), 7 * number, np.uint8)
        picture[:, 64:] = 255
        out.write(picture)
    out.release()
    return path


def picture(item: Item) -> np.ndarray:
    """As a worker sees it."""
    return pictures.decode(pickle.loads(pickle.dumps(item.place)).read(), item.display_name).image


def frame_number(item: Item) -> int:
    return round(float(picture(item)[:, :32].mean()) / 7)


@pytest.mark.parametrize(("name", "code"), KINDS)
def test_frames_are_those_of_their_times(tmp_path: Path, name: str, code: str):
    path = film(tmp_path / name, code=code)
    listing = list_photos(str(path))
    assert [item.name for item in listing.items] == [f"{name}/{second:05d}.000.png" for second in range(4)]
    assert [frame_number(item) for item in listing.items] == [0, 10, 20, 30]
    assert listing.videos == 1 and listing.notes == () and listing.root == tmp_path
    assert listing.items[1].display_name == f"{path}/00001.000.png" and listing.items[1].identity == name
    assert listing.items[1].place.status() == (path.stat().st_size, path.stat().st_mtime_ns)
    assert picture(listing.items[0]).shape == (64, 96, 3)


def test_every_so_many_seconds(tmp_path: Path):
    path = film(tmp_path / "clip.avi")
    items = list_photos(str(path), every=0.7).items
    assert [item.name.split("/")[1] for item in items] == [
        "00000.000.png", "00000.700.png", "00001.400.png", "00002.100.png", "00002.800.png",
    ]  # fmt: skip
    assert [frame_number(item) for item in items] == [0, 7, 14, 21, 28]
    assert [frame_number(item) for item in list_photos(str(path), every=100).items] == [0]


def test_no_frame_is_given_twice(tmp_path: Path):
    """Where frames are further apart than the times asked for, each comes once, at the first time nearest to it."""
    items = list_photos(str(film(tmp_path / "clip.avi", frames=5)), every=0.01).items
    assert [frame_number(item) for item in items] == [0, 1, 2, 3, 4] and len({item.name for item in items}) == 5


def test_frames_do_not_depend_on_the_order_they_are_read_in(tmp_path: Path):
    path = film(tmp_path / "clip.mp4", code="mp4v")
    items = list_photos(str(path), every=0.3).items
    forward = [item.place.read() for item in items]
    assert [item.place.read() for item in reversed(items)] == forward[::-1]


def test_rotation_is_applied(tmp_path: Path):
    """A phone held upright: the matrix of the track header says a quarter turn clockwise."""
    path = film(tmp_path / "clip.mp4", code="mp4v")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version and flags, then 36 bytes before the matrix
    one = 1 << 16
    assert struct.unpack_from(">9i", content, at) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, at, 0, one, 0, -one, 0, 0, 64 * one, 0, 1 << 30)
    path.write_bytes(content)
    turned = picture(list_photos(str(path)).items[0])
    assert turned.shape == (96, 64, 3)
    assert turned[:60].mean() < 20 and turned[70:].mean() > 235, "what was on the right is below"


def test_colours_keep_their_order(tmp_path: Path):
    out = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    out.write(np.full((64, 64, 3), (0, 0, 255), np.uint8))  # OpenCV's red
    out.release()
    red, green, blue = picture(list_photos(str(tmp_path / "a.avi")).items[0]).mean(axis=(0, 1))
    assert red > 240 and green < 15 and blue < 15


def test_videos_in_folders_lists_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "raw"
    (root / "p1").mkdir(parents=True)
    film(root / "p1" / "b.avi", frames=15)
    film(root / "p1" / "c.avi", frames=5).rename(root / "p1" / "c")
    for name in ("p1/a.jpg", "p1/d.jpg", "z.jpg"):
        (root / name).write_bytes(b"\xff\xd8\xff\xe0")
    want = ["p1/a.jpg", "p1/b.avi/00000.000.png", "p1/b.avi/00001.000.png", "p1/c/00000.000.png", "p1/d.jpg", "z.jpg"]
    listing = list_photos(str(root))
    assert [item.name for item in listing.items] == want and listing.videos == 2
    assert {item.identity for item in listing.items} == {"p1", None}
    assert [item.name for item in list_photos(str(root / "*" / "*.avi")).items] == want[1:3]
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"z.jpg\np1/b.avi\n")))
    assert [item.display_name for item in list_photos("-", every=10).items] == ["z.jpg", "p1/b.avi/00000.000.png"]


@pytest.mark.parametrize("name", ("a%03d.avi", "http:a.avi", "a b'\"\n.avi", "顔.avi", os.fsdecode(b"a\xff.avi"), "-"))
def test_odd_names(tmp_path: Path, name: str):
    """Some of them have a meaning to the decoder."""
    path = film(tmp_path / "plain.avi", frames=3).rename(tmp_path / name)
    (item,) = list_photos(str(path)).items
    assert item.name == f"{name}/00000.000.png" and frame_number(item) == 0


def test_what_cannot_be_read_is_a_named_reject(tmp_path: Path):
    whole = film(tmp_path / "whole.mp4", code="mp4v").read_bytes()
    for name, own, reason in (
        ("cut.mp4", whole[: len(whole) // 2], "decode_error"),
        ("zeros.mov", b"\0\0\0\x14ftypqt  " + bytes(5000), "decode_error"),
        ("text.mp4", b"this is a text", "unsupported_format"),
        ("empty.mkv", b"", "unsupported_format"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nwhole.mp4\n", "unsupported_format"),
        ("list.avi", b"ffconcat version 1.0\nfile whole.mp4\n", "unsupported_format"),
    ):
        (tmp_path / name).write_bytes(own)
        (item,) = list_photos(str(tmp_path / name)).items
        assert item.name == name
        with pytest.raises(PhotoError, match=name) as caught:
            item.place.read()
        assert caught.value.reason == reason
    code = (
        "import sys; from cosface_cli.engines.sources.list_photos import list_photos\n"
        "print(list_photos(sys.argv[1]).videos)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True, text=True)
    assert done.stderr == "" and done.stdout == "7\n", "the decoder is silent"


def test_a_film_that_ends_early_gives_what_is_there(tmp_path: Path):
    """Half a film: each of its frames is the right one or a named reject."""
    for name, code in (("whole.avi", "MJPG"), ("whole.mkv", "mp4v")):
        whole = film(tmp_path / name, code=code).read_bytes()
        path = tmp_path / f"cut{name}"
        path.write_bytes(whole[: len(whole) // 2])
        items = list_photos(str(path)).items
        assert frame_number(items[0]) == 0
        for second, item in enumerate(items[1:3], 1):
            try:
                assert frame_number(item) == 10 * second
            except PhotoError as error:
                assert error.reason == "decode_error"
        with pytest.raises(PhotoError, match=rf"{path.name}/00003\.000\.png: the video has no readable frame"):
            items[3].place.read()


def test_a_header_that_claims_years_is_refused(tmp_path: Path):
    content = bytearray(film(tmp_path / "clip.avi").read_bytes())
    at = content.index(b"strh") + 8  # dwLength is the ninth word of the stream header
    assert struct.unpack_from("<I", content, at + 32) == (35,)
    struct.pack_into("<I", content, at + 32, 2_000_000_000)
    (tmp_path / "clip.avi").write_bytes(content)
    (item,) = list_photos(str(tmp_path / "clip.avi"), every=0.001).items
    with pytest.raises(PhotoError, match="claims 2000000000 frames"):
        item.place.read()


def test_a_video_that_goes_away_meanwhile(tmp_path: Path):
    path = film(tmp_path / "clip.avi")
    item = list_photos(str(path)).items[0]
    path.unlink()
    with pytest.raises(PhotoError, match=r"clip\.avi/00000\.000\.png: cannot be read"):
        item.place.read()


def test_random_damage_never_becomes_a_traceback(tmp_path: Path):
    rng = np.random.default_rng(3)
    for name, code in KINDS[:2]:
        whole = film(tmp_path / name, frames=12, code=code).read_bytes()
        for _ in range(25):
            damaged = np.frombuffer(whole, np.uint8).copy()
            damaged[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            (tmp_path / name).write_bytes(damaged.tobytes())
            for item in list_photos(str(tmp_path / name)).items[:20]:
                try:
                    picture(item)
                except PhotoError:
                    continue


def test_heic_is_a_photo_and_no_film(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\0\0\0\x18ftypheic" + bytes(300))
    assert [item.name for item in list_photos(str(tmp_path)).items] == ["a"]
