"""cosface train as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cosface
from tests.record_files import as_insightface, write_records
from tests.train.conftest import contents, crop_folder_with_pairs, write_crops

pytestmark = pytest.mark.slow

RUN = Path("runs") / "cosface-mobilefacenet-m0.35-s30"


def test_as_in_the_readme(invoke: Cosface, tmp_path: Path):
    """cosface train --m 0.35, in a folder with aligned/."""
    crop_folder_with_pairs(tmp_path)
    asked = ("train", "--m", "0.35", "--epochs", "2", "--batch", "8", "--device", "cpu", "--threads", "1")
    first = invoke(*asked, cwd=tmp_path)
    assert first.code == 0, first
    assert [row["epoch"] for row in first.rows] == [1, 2]
    assert {"loss", "lr", "accuracy", "target_cosine", "images_per_second"} <= set(first.rows[0])
    assert "16 crops of 4 identities" in first.err
    assert first.err.splitlines()[-1].startswith("2 done in")
    written = contents(tmp_path / RUN)

    again = invoke(*asked, cwd=tmp_path)
    assert (again.code, again.out) == (0, ""), again
    assert "this run is finished" in again.err
    assert contents(tmp_path / RUN) == written

    other = invoke(*asked, "--lr", "0.05", cwd=tmp_path)
    assert (other.code, other.out) == (2, ""), other
    assert other.err.splitlines()[-1].startswith(
        f"cosface: {RUN}: this folder has another run (lr: 0.1, asked for 0.05)"
    )

    more = invoke(*asked, "--milestones", "a", cwd=tmp_path)
    assert more.code == 2
    assert more.err == "cosface: --milestones takes a comma-separated list of epochs, such as 10,16; got 'a'\n"


def test_a_flat_folder(invoke: Cosface, tmp_path: Path):
    write_crops(tmp_path / "flat", flat=True)
    result = invoke("train", tmp_path / "flat", cwd=tmp_path)
    assert result.code == 2
    assert result.out == ""
    assert result.err.splitlines()[-1] == (
        f"cosface: {tmp_path}/flat: the crops are not in identity folders; "
        f"put them in one folder per person: {tmp_path}/flat/PERSON/photo.jpg"
    )
    assert not (tmp_path / "runs").exists()


def test_no_folder_at_all(invoke: Cosface, tmp_path: Path):
    result = invoke("train", cwd=tmp_path)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("cosface: aligned: no such folder of crops; make one")


def test_milestones_may_stand_in_the_configuration(invoke: Cosface, tmp_path: Path):
    write_crops(tmp_path / "aligned")
    (tmp_path / "cosface.toml").write_text(
        '[train]\nmilestones = [1]\nwarmup = 0\nepochs = 2\nbatch = 8\ntemplate = "arcface"\ndevice = "cpu"\n'
    )
    result = invoke("train", cwd=tmp_path)
    assert result.code == 0, result
    assert [round(row["lr"], 6) for row in result.rows] == [0.1, 0.01]


@pytest.mark.parametrize(
    ("line", "words"),
    (
        ("milestones = [1.5, 2]", "--milestones takes a comma-separated list of epochs, such as 10,16; got 1.5"),
        ("augment = 5", "--augment takes a comma-separated list of names, such as crop,grey; got 5"),
    ),
)
def test_what_is_no_list_in_the_configuration_is_one_line(invoke: Cosface, tmp_path: Path, line: str, words: str):
    write_crops(tmp_path / "aligned")
    (tmp_path / "cosface.toml").write_text(f'[train]\n{line}\ntemplate = "arcface"\n')
    result = invoke("train", cwd=tmp_path)
    assert result.code == 2 and words in result.err.splitlines()[-1], result


def test_records_balanced_and_augmented(invoke: Cosface, tmp_path: Path):
    """Options of the data as typed and from cosface.toml; a shard that is missing; a sampler that cannot be."""
    crops = sorted(write_crops(tmp_path / "a", people=3, images=3).rglob("*.png"))
    write_records(tmp_path / "train.rec", as_insightface([(int(p.parent.name[1:]), p.read_bytes()) for p in crops]))
    (tmp_path / "cosface.toml").write_text('[train]\naugment = ["crop", "jpeg"]\nsampler = "balanced"\n')
    asked = ("train", "train.rec", "--epochs", "1", "--batch", "4", "--device", "cpu", "--threads", "1", "--out", "r")
    done = invoke(*asked, "--images-per-identity", "2", "--loaders", "1", "--no-flip", cwd=tmp_path)
    assert done.code == 0, done
    assert "train.rec: 9 crops of 3 identities" in done.err and 0 <= done.rows[0]["wait"] <= 1
    settings = json.loads((tmp_path / "r" / "run.json").read_text())["settings"]
    assert (settings["sampling"], settings["augment"]) == ("balanced 2", ["crop", "jpeg"])

    other = invoke(*asked, "--images-per-identity", "2", "--augment", "none", cwd=tmp_path)
    assert other.code == 2
    assert "this folder has another run (augment: crop,jpeg, asked for flip)" in other.err
    few = invoke(*asked, "--images-per-identity", "1", cwd=tmp_path)
    assert few.err.splitlines()[-1].startswith("cosface: --batch 4 with --images-per-identity 1 needs 4 identities")
    lost = invoke("train", "shards-{000..001}.tar", cwd=tmp_path)
    assert (lost.code, lost.err.splitlines()[-1]) == (2, "cosface: shards-000.tar: no such file")
    grey = invoke(*asked, "--augment", "crop,gray", cwd=tmp_path)
    assert grey.err.splitlines()[-1] == "cosface: --augment 'gray' is not known; did you mean 'grey'?"
