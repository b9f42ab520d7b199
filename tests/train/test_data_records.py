"""Crops packed in RecordIO and WebDataset: the same crops, labels and weights as from a folder; and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.pictures import encode_jpeg, encode_png
from cosface_cli.errors import CosfaceError, PhotoError
from cosface_cli.maths.geometry import template
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import LabelledCrops, fingerprint, label
from cosface_cli.train.crops.records import packed_files
from cosface_cli.train.stage import train
from tests.record_files import as_insightface, packed, write_records
from tests.train.conftest import Heard, write_crops

ARCFACE = template("arcface")
PEOPLE, IMAGES = 3, 4


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def opened(*paths: Path, min_images: int = 1, batch: int = 4) -> LabelledCrops:
    return label(paths, None, ARCFACE, min_images, batch, 0)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_crops(tmp_path / "folder", people=PEOPLE, images=IMAGES)


@pytest.fixture
def pictures(folder: Path) -> list[tuple[int, bytes]]:
    """The folder's crops in order of their names, with the person's number."""
    return [(int(path.parent.name[1:]), path.read_bytes()) for path in sorted(folder.rglob("*.png"))]


@pytest.fixture
def rec(tmp_path: Path, pictures: list[tuple[int, bytes]]) -> Path:
    return write_records(tmp_path / "train.rec", as_insightface(pictures))


@pytest.fixture
def shards(tmp_path: Path, pictures: list[tuple[int, bytes]]) -> list[Path]:
    """Three shards; labels as .cls and as .json, before and after their pictures."""
    paths = []
    for shard in range(3):
        members = []
        for number, (person, picture) in list(enumerate(pictures))[shard * 4 : shard * 4 + 4]:
            members.append((f"{number:06d}.png", picture))
            if number % 2:
                members.append((f"{number:06d}.json", json.dumps({"label": person, "from": "x"}).encode()))
            else:
                members.insert(len(members) - 1, (f"{number:06d}.cls", f"{person}\n".encode()))
        paths.append(write_tar(tmp_path / f"shards-{shard:03d}.tar", members))
    return paths


@pytest.mark.slow
def test_the_three_sources_give_the_same_weights(
    folder: Path, rec: Path, shards: list[Path], tmp_path: Path, tiny: str, heard: Heard
):
    config = TrainConfig(
        aligned=folder, template="arcface", backbone=tiny, epochs=2, batch=4, threads=1, device="cpu",
        augment=("crop",), report=False,
    )  # fmt: skip
    reports = [
        train(replace(config, aligned=source, template=name, out=tmp_path / f"run{number}"), heard)
        for number, (source, name) in enumerate(((folder, "arcface"), (rec, None), (tuple(shards), None)))
    ]
    assert len({report.model_id for report in reports}) == 1
    assert {report.images for report in reports} == {PEOPLE * IMAGES}
    assert f"{shards[0]} and 2 more: 12 crops of 3 identities" in heard.notes
    # stopped and gone on with: the same run is found again by its data
    again = train(replace(config, aligned=tuple(shards), template=None, out=tmp_path / "run2"), heard)
    assert again.model_id == reports[0].model_id and "finished" in heard.notes


def test_a_run_on_records_goes_on_to_the_bit(rec: Path, tmp_path: Path, tiny: str):
    config = TrainConfig(
        aligned=rec, out=tmp_path / "a", backbone=tiny, epochs=3, batch=4, threads=1, device="cpu",
        milestones=(2,), sampler="balanced", images_per_identity=2, augment=("crop", "colour", "jpeg"), report=False,
    )  # fmt: skip
    straight = train(config)
    train(replace(config, out=tmp_path / "b", epochs=1))
    assert train(replace(config, out=tmp_path / "b", resume=True)).model_id == straight.model_id


def test_labels_are_in_order_of_their_numbers(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    numbers = [10, 9, 2, 9]
    images = [(number, picture) for number, (_, picture) in zip(numbers, pictures, strict=False)]
    data = opened(write_records(tmp_path / "a.rec", as_insightface(images)))
    assert data.identities == ("2", "9", "10")
    assert data.labels.tolist() == [2, 1, 0, 1]
    assert [crop.name for crop in data.crops] == ["a.rec/1", "a.rec/2", "a.rec/3", "a.rec/4"]


def test_crops_come_by_their_offset(rec: Path, pictures: list[tuple[int, bytes]], shards: list[Path]):
    for data in (opened(rec), opened(*shards)):
        assert [data.crops[index].read() for index in (7, 0, 11)] == [pictures[index][1] for index in (7, 0, 11)]
        assert [int(data.identities[code]) for code in data.labels] == [person for person, _ in pictures]


def test_a_record_that_holds_the_magic_is_read_whole(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    planted = bytes(3) + bytes.fromhex("0a23d7ce") * 2  # after the picture's end; somewhere at a multiple of four
    images = [(0, pictures[0][1] + bytes(pad) + planted) for pad in range(4)] + [(1, pictures[4][1])]
    data = opened(write_records(tmp_path / "a.rec", as_insightface(images)))
    assert [crop.read() for crop in data.crops] == [image for _, image in images]


def test_min_images_and_few_people(rec: Path, tmp_path: Path, pictures: list[tuple[int, bytes]]):
    images = [*pictures[:3], *pictures[4:5], *pictures[8:11]]
    path = write_records(tmp_path / "a.rec", as_insightface(images))
    data, dropped = label(path, None, ARCFACE, 2, 4, 0)
    assert data.identities == ("0", "2") and (dropped.identities, dropped.images) == (1, 1)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [crop.read() for crop in data.crops] == [picture for person, picture in images if person != 1]
    with pytest.raises(CosfaceError, match=r"at least two identities with 9 crops or more"):
        opened(path, min_images=9)


def test_without_an_index_positions_are_the_keys(rec: Path, heard: Heard):
    before = [crop.name for crop in opened(rec).crops]
    rec.with_suffix(".idx").unlink()
    data, _ = label(rec, None, ARCFACE, 1, 4, 0, emit=heard)
    assert [crop.name for crop in data.crops] == before  # insightface counts from record 0 too
    assert "train.rec: no train.idx beside it" in heard.notes


def test_an_index_of_another_file_is_refused(rec: Path):
    rec.with_suffix(".idx").write_text("0\t0\n1\t48\n")
    with pytest.raises(CosfaceError, match=r"train\.idx: \d+ records are not in it; it belongs to another file"):
        opened(rec)
    rec.with_suffix(".idx").write_text("what\n")
    with pytest.raises(CosfaceError, match=r"train\.idx: not an index of records"):
        opened(rec)


def test_damage_is_named_by_record_and_file(rec: Path, tmp_path: Path, pictures: list[tuple[int, bytes]]):
    whole = rec.read_bytes()
    data = opened(rec)
    rec.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CosfaceError, match=r"train\.rec: damaged RecordIO file, at byte \d+, in record 6"):
        opened(rec)
    with pytest.raises(PhotoError, match=r"train\.rec, record 12: damaged RecordIO"):
        data.crops[11].read()
    begin = whole.index(pictures[2][1])
    rec.write_bytes(whole[: begin + 60] + bytes(200) + whole[begin + 260 :])
    with pytest.raises(CosfaceError, match=r"train\.rec, record 3: the file ends too early"):
        list(opened(rec).batches(1))
    rec.write_bytes(whole)
    for bad in (float("nan"), 1.5, float("inf")):
        path = write_records(tmp_path / "b.rec", [packed(0.0, 0, pictures[0][1]), packed(bad, 1, pictures[1][1])])
        with pytest.raises(CosfaceError, match=r"b\.rec: record 1 has the label .*; labels are whole numbers"):
            opened(path)


def test_crops_of_another_size_ask_for_a_template_or_are_refused(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    odd = encode_jpeg(np.zeros((120, 100, 3), np.uint8))
    path = write_records(tmp_path / "a.rec", as_insightface([(0, odd), (1, odd)]))
    with pytest.raises(CosfaceError, match=r"a\.rec, record 1: is 100 x 120, .*; name the crops' --template"):
        opened(path)
    path = write_records(tmp_path / "b.rec", as_insightface([(0, pictures[0][1]), (1, odd)]))
    with pytest.raises(CosfaceError, match=r"b\.rec, record 2: is 100 x 120, crops of template arcface are 112 x 112"):
        list(opened(path).batches(1))
    wide = encode_png(np.zeros((192, 192, 3), np.uint8))
    path = write_records(tmp_path / "c.rec", as_insightface([(0, wide), (1, wide)]))
    assert label(path, "wide", ARCFACE, 1, 2, 0)[0].augmented(1, 0).shape == (112, 112, 3)
    small = encode_png(np.zeros((112, 96, 3), np.uint8))
    path = write_records(tmp_path / "d.rec", as_insightface([(0, small), (1, small)]))
    with pytest.raises(CosfaceError, match="'sphereface' do not show all"):
        opened(path)


def test_the_fingerprint_follows_labels_and_content(tmp_path: Path, pictures: list[tuple[int, bytes]], rec: Path):
    before = fingerprint(opened(rec))
    assert fingerprint(opened(rec, batch=2)) == before
    other = [(person, pictures[3][1] if place == 5 else picture) for place, (person, picture) in enumerate(pictures)]
    moved = [((person + (place == 5)) % 3, picture) for place, (person, picture) in enumerate(pictures)]
    for number, images in enumerate((other, moved)):
        (tmp_path / str(number)).mkdir()
        path = write_records(tmp_path / str(number) / "train.rec", as_insightface(images))
        assert fingerprint(opened(path)) != before


def test_files_are_found_in_ranges_and_folders(tmp_path: Path, shards: list[Path], folder: Path, rec: Path):
    pattern = tmp_path / "shards-{000..002}.tar"
    assert packed_files([pattern]) == tuple(shards) == packed_files(list(reversed(shards)))
    with pytest.raises(CosfaceError, match=r"shards-003\.tar: no such file"):
        packed_files([tmp_path / "shards-{000..003}.tar"])
    with pytest.raises(CosfaceError, match=r"\{2\.\.1\} is not a range"):
        packed_files([tmp_path / "shards-{2..1}.tar"])
    only = tmp_path / "only"
    only.mkdir()
    for path in shards:
        path.rename(only / path.name)
    (only / "README.md").write_text("shards")
    assert [path.name for path in packed_files([only])] == [path.name for path in shards]
    assert opened(only).identities == ("0", "1", "2")
    assert packed_files([folder]) == ()
    with pytest.raises(CosfaceError, match=r"both \.rec and \.tar"):
        packed_files([rec, only])
    with pytest.raises(CosfaceError, match=r"folder: not a \.rec or \.tar; give one crop folder"):
        packed_files([folder, rec])


def test_names_are_labels_where_one_is_no_number(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    members = [
        (f"{number}.{ending}", content)
        for number, (name, picture) in enumerate(zip(("bo", 10, "al", "bo"), (p for _, p in pictures), strict=False))
        for ending, content in (("png", picture), ("json", json.dumps({"identity": name}).encode()))
    ]
    data = opened(write_tar(tmp_path / "a.tar", members))
    assert data.identities == ("10", "al", "bo") and data.labels.tolist() == [2, 0, 1, 2]


def test_a_tar_of_a_crop_folder_needs_no_labels(tmp_path: Path, folder: Path, pictures: list[tuple[int, bytes]]):
    members = [(f"./{p.relative_to(folder)}", p.read_bytes()) for p in sorted(folder.rglob("*.png"))]
    data = opened(write_tar(tmp_path / "a.tar", members))
    assert data.identities == ("p0", "p1", "p2")
    assert [crop.read() for crop in data.crops] == [picture for _, picture in pictures]


def test_tars_that_are_no_data_set_are_refused_by_sample(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    picture = pictures[0][1]
    good = [("1.png", picture), ("1.cls", b"0")]
    cases = {
        r"sample 2 has no label; add 2\.cls": [*good, ("2.png", picture)],
        r"sample 2 has a label but no picture": [*good, ("2.cls", b"1")],
        r"sample 1 has two pictures": [*good, ("1.jpg", picture)],
        r"2\.cls is not a label": [*good, ("2.png", picture), ("2.cls", b"one")],
        r"2\.json is not a label": [*good, ("2.png", picture), ("2.json", b"[" * 100_000)],
        r"2\.cls has 1048577 bytes, too many for a label": [*good, ("2.cls", bytes(1 + (1 << 20)))],
        r"no pictures in here": [("README", b"hello")],
    }
    for number, (words, members) in enumerate(cases.items()):
        path = write_tar(tmp_path / f"{number}.tar", members)
        with pytest.raises(CosfaceError, match=rf"{number}\.tar: {words}"):
            opened(path)
    path = write_tar(tmp_path / "cut.tar", [*good, ("2.png", picture), ("2.cls", b"1")])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(picture, 4000) + 100])
    with pytest.raises(CosfaceError, match=r"cut\.tar: "):
        opened(path)
    path.write_bytes(b"\x1f\x8b" + whole)
    with pytest.raises(CosfaceError, match=r"compressed tar files are not supported; decompress it"):
        opened(path)
    path.write_bytes(whole[:512] + b"x" * 512 + whole[1024:])
    with pytest.raises(CosfaceError, match=r"cut\.tar"):
        list(opened(path).batches(1))


def test_a_hostile_size_is_refused_before_it_is_read(tmp_path: Path, pictures: list[tuple[int, bytes]]):
    path = tmp_path / "big.tar"
    info = tarfile.TarInfo("1.png")
    info.size = 100 << 30
    path.write_bytes(info.tobuf() + pictures[0][1])
    with pytest.raises(CosfaceError, match=r"big\.tar: truncated: the file ends inside 1\.png"):
        opened(path)
    with path.open("wb") as out:  # the bytes are there, as a hole
        info.size = 65 << 20
        out.write(info.tobuf())
        out.seek(info.size, 1)
        label_info = tarfile.TarInfo("1.cls")
        label_info.size = 1
        out.write(label_info.tobuf() + b"1" + bytes(511) + bytes(1024))
    with pytest.raises(CosfaceError, match=r"big\.tar: 1 has 68 MB, more than a crop"):
        opened(path)
