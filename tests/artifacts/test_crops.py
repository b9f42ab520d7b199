"""The crop folder: names of every kind, torn and damaged lines, what holds when a photo was done twice."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.crops.crop_folder import CropFolder
from cosface_cli.artifacts.crops.manifest import (
    MANIFEST,
    REJECTS,
    Crop,
    CropFinder,
    CropRecord,
    RejectRecord,
    crop_record,
    is_crop_folder,
    line,
    open_crops,
    read_lines,
)
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import TEMPLATES

NAMES = (
    "a b.jpg",
    "comma,here.jpg",
    'quote".jpg',
    "it's.jpg",
    "new\nline.jpg",
    "tab\there.jpg",
    "-dash.jpg",
    "100%.jpg",
    "back\\slash.jpg",
    "名前/顔.jpg",
    "e\u0301.jpg",
    "line\u2028separator.jpg",
    os.fsdecode(b"byte\xff.jpg"),
    os.fsdecode(b"\xff\xfe/\xe9.jpg"),
    "😀.jpg",
)
LANDMARKS = ((110.0, 95.5), (170.25, 94.0), (140.0, 130.0), (118.0, 160.0), (163.0, 159.5))


def record(
    source: str = "p/1.jpg", crop: str | None = None, face: int = 1, faces: int = 1, digest: str = "00"
) -> CropRecord:
    return CropRecord(
        crop=crop or source,
        source=source,
        size=1234,
        mtime_ns=1_700_000_000_123_456_789,
        hash=digest * 32,
        face=face,
        faces=faces,
        found=faces,
        box=(100.0, 80.5, 180.25, 190.0),
        landmarks=LANDMARKS,
        score=0.99871,
        template="wide",
        detector="fake",
        settings="s",
        quality={"face_px": 80.2, "sharpness": 310.4},
    )


def reject(source: str, reason: str = "no_face") -> RejectRecord:
    return RejectRecord(
        source=source,
        size=5,
        mtime_ns=6,
        hash="ab" * 32,
        reason=reason,
        words=f"{source}: no face was found",
        settings="s",
    )


def written(root: Path, *records: CropRecord, files: bool = True) -> Path:
    root.mkdir(exist_ok=True)
    (root / MANIFEST).write_text("".join(map(line, records)), "utf-8")
    for item in records if files else ():
        (root / item.crop).parent.mkdir(parents=True, exist_ok=True)
        (root / item.crop).touch()
    return root


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_comes_back(name: str, tmp_path: Path):
    path = tmp_path / "lines"
    path.write_bytes((line(record(name)) + line(reject(name))).encode())
    assert path.read_bytes().count(b"\n") == 2
    first, second = read_lines(path)
    assert first["crop"] == name and crop_record(first, path) == record(name)
    assert second["source"] == name and RejectRecord(**second) == reject(name)
    # any JSON reader agrees, and the name is a name that the system knows
    assert json.loads(line(record(name)))["source"] == name and os.fsencode(name)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1).map(os.fsdecode), max_size=5))
def test_any_bytes_are_a_name(tmp_path_factory: pytest.TempPathFactory, names: list[str]):
    path = tmp_path_factory.mktemp("lines") / "lines"
    path.write_bytes("".join(line(reject(name)) for name in names).encode())
    assert [values["source"] for values in read_lines(path)] == names


def test_readable_names_stay_readable():
    assert "名前/顔.jpg" in line(record("名前/顔.jpg"))


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path: Path):
    path = tmp_path / "lines"
    whole, last = line(record("名.jpg")).encode(), line(record("b.jpg")).encode()
    for cut in range(len(last)):
        path.write_bytes(whole + last[:cut])
        assert [values["source"] for values in read_lines(path)] == ["名.jpg"]
    path.write_bytes(whole + last)
    assert len(list(read_lines(path))) == 2


@pytest.mark.parametrize(
    "damage",
    (b"", b"{", b"[1, 2]", b"17", b"null", b'{"source": "\xff"}', b"\0\0\0", b"[" * 100_000, b'{"a":' * 100_000),
    ids=range(9),
)
def test_damage_in_the_middle_names_file_and_line(damage: bytes, tmp_path: Path):
    path = tmp_path / "manifest.jsonl"
    good = line(record()).encode()
    path.write_bytes(good + good + damage + b"\n" + good)
    with pytest.raises(CosfaceError, match=r"manifest\.jsonl: line 3 is damaged; ."):
        list(read_lines(path))


def test_a_missing_file_has_no_lines_and_a_folder_is_an_error(tmp_path: Path):
    assert list(read_lines(tmp_path / "none")) == []
    with pytest.raises(CosfaceError, match="cannot be read"):
        list(read_lines(tmp_path))


@pytest.mark.parametrize(
    "change",
    (
        {"face": None},
        {"extra": 1},
        {"landmarks": 5},
        {"landmarks": [["a", "b"]] * 5},
        {"landmarks": []},
        {"landmarks": [[1, 2]] * 4},
        {"landmarks": [[1, 2, 3]] * 5},
        {"landmarks": [[7, 7]] * 5},
        {"box": 3},
        {"crop": "../../etc/passwd"},
        {"crop": "/etc/passwd"},
        {"crop": "a/../../b.jpg"},
        {"crop": 3},
        {"crop": ""},
        {"template": "nobody"},
        {"template": ["wide"]},
        {"faces": "2"},
    ),
    ids=str,
)
def test_a_foreign_manifest_is_one_line_of_error(change: dict[str, object], tmp_path: Path):
    values = {**json.loads(line(record())), **change}
    values = {key: value for key, value in values.items() if value is not None}
    root = tmp_path / "crops"
    root.mkdir()
    (root / MANIFEST).write_text(json.dumps(values) + "\n")
    for reader in (open_crops, CropFolder):
        if reader is CropFolder and change in ({"template": "nobody"}, {"landmarks": [[7, 7]] * 5}):
            continue  # a folder for writing has no use for them yet
        with pytest.raises(CosfaceError):
            reader(root)


def test_a_list_of_rejects_from_elsewhere(tmp_path: Path):
    (tmp_path / REJECTS).write_text('{"source": "a"}\n')
    with pytest.raises(CosfaceError, match="not a list of rejects"):
        CropFolder(tmp_path)


def test_what_is_added_is_there_at_once_and_finish_brings_the_order(tmp_path: Path):
    folder = CropFolder(tmp_path)
    two = [record("b.jpg", "b.jpg", 1, 2), record("b.jpg", "b.2.jpg", 2, 2)]
    folder.add("c.jpg", [record("c.jpg")])
    folder.add("x.jpg", reject("x.jpg"))
    folder.add("b.jpg", two)
    folder.add("a.jpg", reject("a.jpg"))
    assert [v["crop"] for v in read_lines(tmp_path / MANIFEST)] == ["c.jpg", "b.jpg", "b.2.jpg"]
    again = CropFolder(tmp_path)  # as after a kill
    assert again.photos == folder.photos and again.dropped == []
    assert again.records("b.jpg") == two and again.records("a.jpg") == []
    assert again.reject("a.jpg") == reject("a.jpg") and again.reject("b.jpg") is None
    folder.finish(["a.jpg", "b.jpg", "never seen.jpg", "c.jpg"])
    assert [v["crop"] for v in read_lines(tmp_path / MANIFEST)] == ["b.jpg", "b.2.jpg", "c.jpg"]
    # a photo that is no longer listed keeps its line, behind the others
    assert [v["source"] for v in read_lines(tmp_path / REJECTS)] == ["a.jpg", "x.jpg"]
    assert CropFolder(tmp_path).photos == folder.photos
    assert folder.records("b.jpg") == two


def test_finishing_twice_gives_the_same_bytes(tmp_path: Path):
    sources = [f"{n}.jpg" for n in range(6)]
    contents = []
    for order in (sources, sources[::-1], sources[3:] + sources[:3]):
        folder = CropFolder(tmp_path)
        for source in order:
            folder.add(source, [record(source)] if source != "2.jpg" else reject(source))
        folder.finish(sources)
        contents.append([(tmp_path / name).read_bytes() for name in (MANIFEST, REJECTS)])
    assert contents[0] == contents[1] == contents[2]


def test_a_photo_done_again_supersedes(tmp_path: Path):
    old = [record("a.jpg", "a.jpg", 1, 2, "01"), record("a.jpg", "a.2.jpg", 2, 2, "01")]
    new = record("a.jpg", "a.jpg", digest="02")
    written(tmp_path, *old, record("b.jpg"), new)
    (tmp_path / "a.2.jpg").unlink()
    folder = CropFolder(tmp_path)
    assert folder.records("a.jpg") == [new]
    assert "a.2.jpg" in folder.dropped
    crops = open_crops(tmp_path)  # a reader sees the same, and no crop twice
    assert sorted(crop.name for crop in crops) == ["a.jpg", "b.jpg"]
    assert {crop.name: crop.record for crop in crops}["a.jpg"] == new
    found = CropFinder().find(tmp_path / "a.jpg")
    assert found is not None and found.record == new


def test_a_photo_whose_last_face_was_torn_off_is_done_again(tmp_path: Path):
    first, second = record("b.jpg", "b.jpg", 1, 2), record("b.jpg", "b.2.jpg", 2, 2)
    written(tmp_path, record("a.jpg"), first, second)
    (tmp_path / MANIFEST).write_text(line(record("a.jpg")) + line(first) + line(second)[:40])
    folder = CropFolder(tmp_path)
    assert set(folder.photos) == {"a.jpg"} and folder.dropped == ["b.jpg"]


def test_adding_after_a_torn_line_cuts_it_off(tmp_path: Path):
    written(tmp_path, record("a.jpg"))
    with (tmp_path / MANIFEST).open("ab") as handle:
        handle.write(line(record("torn.jpg")).encode()[:50])
    folder = CropFolder(tmp_path)
    folder.add("b.jpg", [record("b.jpg")])
    folder.close()
    assert [v["source"] for v in read_lines(tmp_path / MANIFEST)] == ["a.jpg", "b.jpg"]


def test_a_photo_both_kept_and_rejected_is_done_again(tmp_path: Path):
    written(tmp_path, record("a.jpg"), record("b.jpg"))
    (tmp_path / REJECTS).write_text(line(reject("a.jpg")) + line(reject("c.jpg")))
    folder = CropFolder(tmp_path)
    assert set(folder.photos) == {"b.jpg", "c.jpg"} and folder.dropped == ["a.jpg"]


def test_open_crops_in_manifest_order_with_their_own_landmarks(tmp_path: Path):
    written(tmp_path, record("z/1.jpg"), record("a/1.jpg"), record("top.jpg"))
    crops = open_crops(tmp_path)
    assert [crop.name for crop in crops] == ["z/1.jpg", "a/1.jpg", "top.jpg"]
    assert [crop.identity for crop in crops] == ["z", "a", None]
    wide = TEMPLATES["wide"]
    assert crops[0].template == wide and crops[0].path == tmp_path / "z/1.jpg"
    # the similarity of least squares keeps the centre, and leaves the residue that the face has
    own = crops[0].landmarks
    assert own is not None
    np.testing.assert_allclose(own.mean(axis=0), wide.landmarks.mean(axis=0), atol=1e-9)
    source = np.array(LANDMARKS)
    sides = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (own, source)]
    ratio = sides[0][0, 1] / sides[1][0, 1]
    np.testing.assert_allclose(sides[0], ratio * sides[1], rtol=1e-9)


def test_a_missing_crop_is_named(tmp_path: Path):
    written(tmp_path, record("a.jpg"), record("b/c.jpg"))
    (tmp_path / "b/c.jpg").unlink()
    with pytest.raises(CosfaceError, match=r"b/c\.jpg: a crop of the manifest is missing; run cosface align"):
        open_crops(tmp_path)


def test_a_folder_without_manifest_needs_a_template(tmp_path: Path):
    for name in ("b/2.png", "b/1.jpg", "a/9.JPEG", "a/.hidden.jpg", ".thumbnails/1.jpg", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert not is_crop_folder(tmp_path)
    with pytest.raises(CosfaceError, match=r"no manifest\.jsonl.*--template"):
        open_crops(tmp_path)
    crops = open_crops(tmp_path, "arcface")
    assert [crop.name for crop in crops] == ["a/9.JPEG", "b/1.jpg", "b/2.png"]
    assert {crop.template.name for crop in crops} == {"arcface"}
    assert crops[0].landmarks is None and crops[0].record is None
    with pytest.raises(CosfaceError, match="did you mean 'arcface'"):
        open_crops(tmp_path, "arcfase")


def test_folders_without_crops_are_refused(tmp_path: Path):
    with pytest.raises(CosfaceError, match="no such folder of crops"):
        open_crops(tmp_path / "none")
    written(tmp_path)
    with pytest.raises(CosfaceError, match="no crops here"):
        open_crops(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(CosfaceError, match="no crops here"):
        open_crops(tmp_path, "wide")


def test_a_path_finds_its_crop(tmp_path: Path):
    written(tmp_path, record("a/1.jpg"), record("a/2.jpg"))
    (tmp_path / "a/other.jpg").touch()
    found = CropFinder().find(tmp_path / "a/2.jpg")
    assert isinstance(found, Crop) and found.name == "a/2.jpg" and found.record == record("a/2.jpg")
    assert CropFinder().find(tmp_path / "a/other.jpg") is None
    assert CropFinder().find(tmp_path.parent / "elsewhere.jpg") is None


def test_records_can_be_changed_and_written_back(tmp_path: Path):
    """A touched file: same content, new time."""
    folder = CropFolder(tmp_path)
    folder.add("a.jpg", [record("a.jpg")])
    folder.add("a.jpg", [replace(record("a.jpg"), mtime_ns=7)])
    folder.finish(["a.jpg"])
    assert [v["mtime_ns"] for v in read_lines(tmp_path / MANIFEST)] == [7]
    assert CropFolder(tmp_path).dropped == []
