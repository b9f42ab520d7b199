"""Archives as sources: what zipfile, tarfile and hand-made bytes hold, and what hostile ones do."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import random
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from cosface_cli.engines.sources import Listing
from cosface_cli.engines.sources.archive import MAX_MEMBER
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.engines.sources.zip_archive import ZipMember
from cosface_cli.errors import CosfaceError, PhotoError

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
CONTENT = {
    "b/2.jpg": JPEG + b"2",
    "a/1.jpg": JPEG + b"1" * 5000,
    "a/no ending": JPEG + b"n",
    "é/顔 '\"\n.png": b"\x89PNG" + os.urandom(3000),
    "top.JPG": JPEG,
}
PACKERS = ("zip", "stored.zip", "bzip2.zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


def pack(path: Path, content: dict[str, bytes]) -> Path:
    """An archive of the kind that the ending says, written by the standard library."""
    if path.suffix == ".zip":
        methods = {"stored": zipfile.ZIP_STORED, "bzip2": zipfile.ZIP_BZIP2}
        method = methods.get(path.name.split(".")[-2], zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(path, "w", method) as out:
            for name, own in content.items():
                out.writestr(name, own)
        return path
    pressed = {".tgz": "gz", ".gz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{pressed}") as tar:  # type: ignore[call-overload]
        for name, own in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(own)
            tar.addfile(info, io.BytesIO(own))
    return path


def contents(listing: Listing) -> dict[str, bytes]:
    """As a worker gets them."""
    return {item.name: pickle.loads(pickle.dumps(item.place)).read() for item in listing.items}


@pytest.mark.parametrize("kind", PACKERS)
def test_members_are_what_was_packed(tmp_path: Path, kind: str):
    archive = pack(tmp_path / f"photos.{kind}", CONTENT)
    listing = list_photos(str(archive))
    assert contents(listing) == CONTENT
    assert [item.name for item in listing.items] == sorted(CONTENT, key=os.fsencode)
    assert listing.notes == () and listing.root == archive
    assert [item.display_name for item in listing.items] == [f"{archive}/{item.name}" for item in listing.items]
    for item in listing.items:
        assert item.place.status() == (len(CONTENT[item.name]), archive.stat().st_mtime_ns)


@pytest.mark.parametrize("kind", ("zip", "tar", "tar.gz"))
def test_kinds_are_told_by_content(tmp_path: Path, kind: str):
    archive = pack(tmp_path / f"photos.{kind}", CONTENT)
    assert contents(list_photos(str(archive.rename(tmp_path / "download")))) == CONTENT


def test_archives_of_the_common_tools(tmp_path: Path):
    """GNU tar names members ./a/1.jpg; names are those of the folder."""
    for name, own in CONTENT.items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(own)
    odd = os.fsdecode(b"a/\xff\xfe.jpg")
    (tmp_path / "raw" / odd).write_bytes(JPEG)
    subprocess.run(["tar", "cf", tmp_path / "a.tar", "-C", tmp_path / "raw", "."], check=True)
    subprocess.run(["tar", "czf", tmp_path / "a.tgz", "--format=pax", "-C", tmp_path / "raw", "."], check=True)
    folder = list_photos(str(tmp_path / "raw"))
    for archive in ("a.tar", "a.tgz"):
        assert contents(list_photos(str(tmp_path / archive))) == contents(folder), archive
        items = list_photos(str(tmp_path / archive)).items
        assert [item.name for item in items] == [item.name for item in folder.items]
        assert [str(item.place) for item in items] == [f"{tmp_path / archive}/{item.name}" for item in items]


def test_other_members_are_counted_and_hidden_ones_passed_over(tmp_path: Path):
    webdataset = {
        "0001.jpg": JPEG,
        "0001.json": b"{}",
        "0001.cls": b"7",
        "__MACOSX/._0001.jpg": b"x",
        ".git/a.jpg": b"y",
    }
    for kind in ("zip", "tar", "tgz"):
        listing = list_photos(str(pack(tmp_path / f"a.{kind}", webdataset)))
        assert contents(listing) == {"0001.jpg": JPEG}
        assert listing.notes == ("2 files that are not photos were skipped (0001.cls, 0001.json)",)


def test_crops_in_an_archive_are_pointed_out(tmp_path: Path):
    listing = list_photos(str(pack(tmp_path / "a.zip", {"a.jpg": JPEG, "manifest.jsonl": b""})))
    assert "unpack them" in listing.notes[-1]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_later_counts(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out, tarfile.open(tmp_path / "a.tar", "w") as tar:
        for own in (JPEG + b"old", JPEG + b"new"):
            out.writestr("a.jpg", own)
            info = tarfile.TarInfo("a.jpg")
            info.size = len(own)
            tar.addfile(info, io.BytesIO(own))
    for name in ("a.zip", "a.tar"):
        listing = list_photos(str(tmp_path / name))
        assert contents(listing) == {"a.jpg": JPEG + b"new"}
        assert listing.notes == ("1 members have the name of an earlier one and replace it",)


@pytest.mark.parametrize("kind", ("zip", "tar", "tgz"))
@pytest.mark.parametrize("name", ("../out.jpg", "a/../../out.jpg", "/etc/out.jpg", "a/" + "n" * 300 + ".jpg"))
def test_names_that_lead_out_are_refused_by_name(tmp_path: Path, kind: str, name: str):
    listing = list_photos(str(pack(tmp_path / f"a.{kind}", {"a.jpg": JPEG, name: JPEG})))
    good, bad = sorted(listing.items, key=lambda item: item.name == name)
    assert good.place.read() == JPEG
    with pytest.raises(PhotoError, match=r"a\.\w+/.*: (this name leads out|the name is too long)") as caught:
        bad.place.read()
    assert caught.value.reason == "unsafe_name"


def test_links_are_not_followed(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar, zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for kind, name in (
            (tarfile.SYMTYPE, "soft.jpg"),
            (tarfile.LNKTYPE, "hard.jpg"),
            (tarfile.FIFOTYPE, "pipe.jpg"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        soft = zipfile.ZipInfo("soft.jpg")
        soft.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(soft, "/etc/passwd")
    for archive in ("a.tar", "a.zip"):
        listing = list_photos(str(tmp_path / archive))
        assert listing.items == () and "not photos were skipped" in listing.notes[0]


def test_a_wrong_checksum_is_a_reject_that_names_archive_and_member(tmp_path: Path):
    archive = pack(tmp_path / "a.stored.zip", {"a.jpg": JPEG, "b.jpg": JPEG + b"good"})
    damaged = bytearray(archive.read_bytes())
    damaged[damaged.index(JPEG) + 10] ^= 1
    archive.write_bytes(damaged)
    a, b = list_photos(str(archive)).items
    assert b.place.read() == JPEG + b"good"
    with pytest.raises(PhotoError, match=r"a\.stored\.zip/a\.jpg: damaged in the archive \(its size or checksum"):
        a.place.read()


def test_damage_within_a_deflated_member(tmp_path: Path):
    archive = pack(tmp_path / "a.zip", {"a.jpg": JPEG + bytes(range(256)) * 8})
    damaged = bytearray(archive.read_bytes())
    damaged[40:60] = b"\xff" * 20
    archive.write_bytes(damaged)
    (item,) = list_photos(str(archive)).items
    with pytest.raises(PhotoError, match="damaged in the archive"):
        item.place.read()


def test_encrypted_members_are_refused(tmp_path: Path):
    archive = pack(tmp_path / "a.zip", {"a.jpg": JPEG, "a.txt": b""})
    flagged = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = -1
        while (at := flagged.find(signature, at + 1)) >= 0:
            flagged[at + flags] |= 1
    archive.write_bytes(flagged)
    listing = list_photos(str(archive))
    (item,) = listing.items
    with pytest.raises(PhotoError, match="encrypted") as caught:
        item.place.read()
    assert caught.value.reason == "encrypted"


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path):
    """A size that is declared, and one that is not."""
    declared = pack(tmp_path / "a.zip", {"a.jpg": JPEG})
    told = bytearray(declared.read_bytes())
    at = told.index(b"PK\1\2") + 24
    told[at : at + 4] = struct.pack("<I", MAX_MEMBER + 1)
    declared.write_bytes(told)
    (item,) = list_photos(str(declared)).items
    with pytest.raises(PhotoError, match="268 MB unpacked") as caught:
        item.place.read()
    assert caught.value.reason == "too_large"

    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("b.jpg", bytes(64 << 20))
    lying = bytearray((tmp_path / "b.zip").read_bytes())
    at = lying.index(b"PK\1\2") + 24
    lying[at : at + 4] = struct.pack("<I", 1000)
    (tmp_path / "b.zip").write_bytes(lying)
    (item,) = list_photos(str(tmp_path / "b.zip")).items
    with pytest.raises(PhotoError, match="size or checksum"):
        item.place.read()

    info = tarfile.TarInfo("c.jpg")
    info.size = 1 << 40
    (tmp_path / "c.tar").write_bytes(info.tobuf() + JPEG)
    with pytest.raises(CosfaceError, match=r"c\.tar: damaged tar archive"):
        list_photos(str(tmp_path / "c.tar"))


def test_a_header_that_would_fill_the_memory(tmp_path: Path):
    info = tarfile.TarInfo("attributes")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    with gzip.open(tmp_path / "a.tgz", "wb") as out:
        out.write(info.tobuf() + bytes(4096))
    with pytest.raises(CosfaceError, match="invalid size"):
        list_photos(str(tmp_path / "a.tgz"))


@pytest.mark.parametrize("kind", PACKERS)
def test_archives_cut_anywhere_are_one_line_errors(tmp_path: Path, kind: str):
    whole = pack(tmp_path / f"a.{kind}", CONTENT).read_bytes()
    step = max(1, len(whole) // 23)
    for size in range(6, len(whole) - 11000 if kind == "tar" else len(whole) - 1, step):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole[:size])
        if kind == "tar" and size % 512 == 0:
            continue  # cut between members: a tar without its end mark, which tar itself takes
        with pytest.raises(CosfaceError) as caught:
            contents(list_photos(str(cut)))
        assert str(cut) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_header_is_not_the_end_of_a_tar(tmp_path: Path):
    archive = pack(tmp_path / "a.tar", {f"{n}.jpg": JPEG for n in range(5)})
    damaged = bytearray(archive.read_bytes())
    damaged[2 * 1024 + 3] ^= 1
    for name, own in (("b.tar", bytes(damaged)), ("b.tgz", gzip.compress(damaged))):
        (tmp_path / name).write_bytes(own)
        with pytest.raises(CosfaceError, match="bad checksum"):
            list_photos(str(tmp_path / name))


def test_a_gzip_checksum_counts(tmp_path: Path):
    archive = pack(tmp_path / "a.tgz", CONTENT)
    damaged = bytearray(archive.read_bytes())
    damaged[-6] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(CosfaceError, match="CRC check failed"):
        list_photos(str(archive))


@pytest.mark.parametrize("name", ("a.zip", "a.tar", "a.tgz", "a.rec"))
def test_a_file_that_only_has_the_name(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"this is a text" * 100)
    for own in (b"this is a text" * 100, b"\x1f\x8b" + bytes(50), bz2.compress(b"text"), b"PK\3\4" + bytes(60)):
        (tmp_path / name).write_bytes(own)
        with pytest.raises(CosfaceError, match=rf"{name}: damaged"):
            list_photos(str(tmp_path / name))


@pytest.mark.parametrize("name", ("a.zip", "a.tar", "a.rec"))
def test_an_archive_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """Permission bits do not bind root, so the refusal is made by hand."""
    (tmp_path / name).write_bytes(JPEG)

    def refuse(*_: object, **__: object):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    monkeypatch.setattr(tarfile, "open", refuse)
    with pytest.raises(CosfaceError, match=rf"{name}: cannot be read \(Permission denied\)"):
        list_photos(str(tmp_path / name))


def test_random_damage_never_becomes_a_traceback(tmp_path: Path):
    rng = random.Random(7)
    for kind in ("zip", "tar", "tgz"):
        whole = pack(tmp_path / f"whole.{kind}", CONTENT).read_bytes()
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path = tmp_path / f"damaged.{kind}"
            path.write_bytes(damaged)
            try:
                items = list_photos(str(path)).items
            except CosfaceError:
                continue
            for item in items:
                try:
                    own = item.place.read()
                except PhotoError:
                    continue
                assert kind != "zip" or zlib.crc32(own) in map(zlib.crc32, CONTENT.values())


def test_names_from_a_mac_without_the_flag(tmp_path: Path):
    archive = pack(tmp_path / "a.zip", {"José.jpg": JPEG})
    plain = archive.read_bytes()
    at = plain.index(b"PK\1\2")
    unflagged = bytearray(plain)
    unflagged[at + 9] &= ~0x08
    unflagged[7] &= ~0x08
    archive.write_bytes(unflagged)
    assert [item.name for item in list_photos(str(archive)).items] == ["José.jpg"]


def test_what_was_unpacked_goes_with_the_process(tmp_path: Path):
    archive = pack(tmp_path / "a.tgz", CONTENT)
    (tmp_path / "tmp").mkdir()
    code = (
        "import sys; from cosface_cli.engines.sources.list_photos import list_photos;"
        "items = list_photos(sys.argv[1]).items; import os, tempfile;"
        "assert os.listdir(tempfile.gettempdir()) and items[0].place.read()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    subprocess.run([sys.executable, "-c", code, archive], check=True, env=environment)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_room_to_unpack_is_one_line(tmp_path: Path):
    archive = pack(tmp_path / "a.tgz", {"a.jpg": JPEG + os.urandom(100_000)})
    code = (
        "import sys; from cosface_cli.engines.sources.list_photos import list_photos;"
        "from cosface_cli.errors import CosfaceError\ntry: list_photos(sys.argv[1])\nexcept CosfaceError as e: print(e)"
    )
    command = ["bash", "-c", 'ulimit -f 20; exec "$0" "$@"', sys.executable, "-c", code, archive]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert "cosface-" in done.stdout and "size limit of this shell" in done.stdout and not done.stderr, done
    assert list(tmp_path.iterdir()) == [archive]


def test_an_offset_beyond_any_file(tmp_path: Path):
    archive = pack(tmp_path / "a.zip", CONTENT)
    place = ZipMember(archive=archive, display_name="a.zip/a.jpg", offset=1 << 70, packed=10, size=10, crc=0, method=8)
    with pytest.raises(PhotoError, match="its header is missing"):
        place.read()


@pytest.mark.slow
def test_many_members_take_little_memory(tmp_path: Path):
    """200 MB of photos in a tar; the listing holds names and offsets."""
    own = JPEG + bytes(100_000)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(2000):
            info = tarfile.TarInfo(f"p{number % 50}/{number}.jpg")
            info.size = len(own)
            tar.addfile(info, io.BytesIO(own))
    tracemalloc.start()
    listing = list_photos(str(tmp_path / "a.tar"))
    for item in listing.items:
        item.place.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(listing.items) == 2000 and peak < 8e6
