"""Which crops a run sees, under which labels, in which order."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.crops.manifest import CropRecord, line
from cosface_cli.artifacts.pictures import encode_png
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import Dropped, LabelledCrops, fingerprint, label
from cosface_cli.train.job import training_job
from cosface_cli.train.preflight.checks import check_margin
from cosface_cli.train.preflight.data_summary import summarise
from cosface_cli.train.setup.settings import resolve
from tests.train.conftest import Heard, write_crops

ARCFACE = template("arcface")


def labelled(root: Path, min_images: int = 1, batch: int = 4, seed: int = 0) -> LabelledCrops:
    return label(root, "arcface", ARCFACE, min_images, batch, seed)[0]


def notes_on(root: Path, heard: Heard, **asked: Any) -> str:
    """What is said of the crops before the first step."""
    config = TrainConfig(aligned=root, template="arcface", recipe="small", device="cpu", **asked)
    summarise(training_job(config, ignore), heard)
    return heard.notes


def test_identities_stand_in_order_of_their_names(tmp_path: Path):
    write_crops(tmp_path / "made", people=3, images=2)
    # made in another order than they sort, and "10" before "9" as text sorts
    for made, name in (("p2", "b"), ("p0", "9"), ("p1", "10")):
        (tmp_path / "made" / made).rename(tmp_path / "made" / name)
    data = labelled(tmp_path / "made")
    assert data.identities == ("10", "9", "b")
    assert [crop.name for crop in data.crops] == ["10/0.png", "10/1.png", "9/0.png", "9/1.png", "b/0.png", "b/1.png"]
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_deeper_folders_belong_to_their_first_level(tmp_path: Path):
    write_crops(tmp_path / "a", people=2, images=2)
    (tmp_path / "a" / "p0" / "2020").mkdir()
    (tmp_path / "a" / "p0" / "0.png").rename(tmp_path / "a" / "p0" / "2020" / "0.png")
    assert labelled(tmp_path / "a").labels.tolist() == [0, 0, 1, 1]


def test_a_flat_folder_is_refused_with_the_layout(tmp_path: Path):
    write_crops(tmp_path / "flat", flat=True)
    with pytest.raises(CosfaceError, match=r"not in identity folders; put them in .*/flat/PERSON/photo\.jpg"):
        labelled(tmp_path / "flat")
    with pytest.raises(CosfaceError, match=r"not in identity folders"):
        label(tmp_path / "flat", None, ARCFACE, 1, 4, 0)


def test_one_identity_is_refused(tmp_path: Path):
    write_crops(tmp_path / "a", people=1)
    with pytest.raises(CosfaceError, match="at least two identities, got 1; put"):
        labelled(tmp_path / "a")


def test_min_images_leaves_out_and_counts(tmp_path: Path, heard: Heard):
    root = write_crops(tmp_path / "a", people=3, images=3)
    (root / "p1" / "2.png").unlink()
    (root / "loose.png").write_bytes((root / "p0" / "0.png").read_bytes())
    data, dropped = label(root, "arcface", ARCFACE, 3, 4, 0)
    assert data.identities == ("p0", "p2")
    assert dropped == Dropped(loose=1, identities=1, images=2)
    notes_on(root, heard, min_images=3, batch=4)
    assert "6 crops of 2 identities" in heard.notes
    assert "left out 1 crops that lie outside of identity folders" in heard.notes
    assert "left out 1 identities with fewer than 3 crops (--min-images), 2 crops in all" in heard.notes
    assert "each epoch leaves out 2 crops that do not fill a batch" in heard.notes
    assert "warning" not in heard.notes
    with pytest.raises(CosfaceError, match=r"at least two identities with 4 crops or more \(--min-images\), got 0"):
        label(root, "arcface", ARCFACE, 4, 4, 0)


def test_identities_with_one_crop_are_warned_of(tmp_path: Path, heard: Heard):
    root = write_crops(tmp_path / "a", people=3, images=1)
    notes_on(root, heard, batch=8)
    assert "warning: 3 identities have only one crop" in heard.notes
    assert "fewer crops than --batch 8: each step takes all 3" in heard.notes


def test_scale_and_margin_bounds(tmp_path: Path, heard: Heard):
    root = write_crops(tmp_path / "a", people=4, images=1)
    # 3/4 ln(3 * 9) = 2.472
    assert "s 2 is below 2.472" in notes_on(root, heard, s=2.0)
    check_margin(resolve(TrainConfig(m=1.3)), 4)  # 4/3: the bound of four
    with pytest.raises(CosfaceError, match=r"1\.4 is above 1\.33, .* 4 identities in 256 .*Eq\. 7"):
        check_margin(resolve(TrainConfig(m=1.4)), 4)
    with pytest.raises(CosfaceError, match=r"above 0\.293"):
        check_margin(resolve(TrainConfig(m=0.3, embedding_size=2)), 8)
    check_margin(resolve(TrainConfig(m=1 - math.cos(math.pi / 4), embedding_size=2)), 8)
    check_margin(resolve(TrainConfig(loss="softmax")), 4)


@pytest.mark.parametrize(("count", "batch", "sizes"), ((9, 4, [4, 4]), (8, 4, [4, 4]), (3, 64, [3]), (7, 3, [3, 3])))
def test_no_batch_is_ragged(tmp_path: Path, count: int, batch: int, sizes: list[int]):
    root = write_crops(tmp_path / "a", people=count, images=1)
    data = labelled(root, batch=batch)
    batches = list(data.batches(epoch=1))
    assert [len(b.labels) for b in batches] == sizes
    assert data.steps == len(sizes)
    names = [name for b in batches for name in b.names]
    assert len(set(names)) == len(names) == sum(sizes)
    for b in batches:
        assert [data.identities[place] for place in b.labels] == [name.split("/")[0] for name in b.names]
        assert b.images.shape[1:] == (112, 112, 3)


def test_order_and_look_hang_on_seed_epoch_and_index_alone(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=4, images=5)
    data, again, other = labelled(root), labelled(root), labelled(root, seed=1)
    assert data.order(3).tolist() == again.order(3).tolist()
    assert data.order(3).tolist() != data.order(4).tolist()
    assert data.order(3).tolist() != other.order(3).tolist()
    assert sorted(data.order(3)) == list(range(20))
    assert np.array_equal(data.augmented(3, 7), again.augmented(3, 7))
    assert any(not np.array_equal(data.augmented(epoch, 7), data.augmented(3, 7)) for epoch in range(4, 8))
    whole, rest = list(data.batches(2)), list(again.batches(2, begin=3))
    assert [b.names for b in rest] == [b.names for b in whole[3:]]
    assert all(np.array_equal(a.images, b.images) for a, b in zip(rest, whole[3:], strict=True))


def test_a_crop_of_another_size_is_refused_by_name(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=2)
    (root / "p1" / "0.png").write_bytes(encode_png(np.zeros((250, 250, 3), np.uint8)))
    with pytest.raises(CosfaceError, match=r"p1/0\.png: is 250 x 250, crops of template arcface are 112 x 112"):
        list(labelled(root).batches(1))


def test_a_template_that_shows_too_little_is_refused(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=2)
    with pytest.raises(CosfaceError, match=r"'sphereface' do not show all .* 'arcface' needs; align again"):
        label(root, "sphereface", ARCFACE, 1, 4, 0)


def test_wider_crops_are_cut_to_the_network_s_template(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=1, width=192, height=189)
    for path in root.rglob("*.png"):
        path.write_bytes(encode_png(np.zeros((192, 192, 3), np.uint8)))
    data, _ = label(root, "wide", ARCFACE, 1, 4, 0)
    assert data.augmented(1, 0).shape == (112, 112, 3)


def test_without_manifest_or_template_it_asks_for_one(tmp_path: Path):
    with pytest.raises(CosfaceError, match="--template"):
        label(write_crops(tmp_path / "a"), None, ARCFACE, 1, 4, 0)


def test_the_fingerprint_follows_names_and_content(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=2)
    before = fingerprint(labelled(root))
    assert fingerprint(labelled(root, batch=2, seed=5)) == before
    path = root / "p0" / "1.png"
    content = path.read_bytes()
    path.write_bytes(encode_png(np.zeros((112, 112, 3), np.uint8)))
    assert fingerprint(labelled(root)) != before
    path.write_bytes(content)
    assert fingerprint(labelled(root)) == before
    path.rename(root / "p1" / "9.png")
    assert fingerprint(labelled(root)) != before


def test_the_fingerprint_reads_the_manifest(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=1)

    def write(settings: str) -> str:
        rows = [
            CropRecord(
                crop=f"p{p}/0.png",
                source=f"p{p}/0.jpg",
                size=1,
                mtime_ns=1,
                hash=f"hash{p}",
                face=1,
                faces=1,
                found=1,
                box=(0, 0, 1, 1),
                landmarks=ARCFACE.points,
                score=1.0,
                template="arcface",
                detector="d",
                settings=settings,
            )
            for p in range(2)
        ]
        (root / "manifest.jsonl").write_text("".join(map(line, rows)))
        assert json.loads((root / "manifest.jsonl").read_text().splitlines()[0])["template"] == "arcface"
        return fingerprint(label(root, None, ARCFACE, 1, 4, 0)[0])

    assert write("one") == write("one")
    assert write("one") != write("two")
