"""cosface embed on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.cli.store_reader import read_plainly
from tests.conftest import Cosface

pytestmark = pytest.mark.slow


def vector(path: Path, source: str) -> np.ndarray:
    embeddings, sources, _ = read_plainly(path)
    return embeddings[sources.index(source)].astype(np.float64)


@pytest.fixture
def aligned(invoke: Cosface, people: Path, tmp_path: Path) -> Path:
    out = tmp_path / "aligned"
    invoke("align", people, out)
    return out


def test_crops_become_unit_rows_in_order(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    done = invoke("embed", aligned, store)
    assert done.code == 0, done
    embeddings, sources, attributes = read_plainly(store)
    assert embeddings.shape == (20, 128) and embeddings.dtype == np.float32
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-6
    assert sources == sorted(sources) and len(set(sources)) == 20
    assert attributes["rows"] == 20 and attributes["model"] == "dlib" and attributes["template"] == "dlib"
    assert [row["source"] for row in done.rows] == [str(aligned / s) for s in sources]
    assert {row["identity"] for row in done.rows} == {"actor", "group", *(f"person{n}" for n in range(1, 7))}


def test_the_same_person_scores_higher(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    invoke("embed", aligned, tmp_path / "faces.h5")
    embeddings, sources, _ = read_plainly(tmp_path / "faces.h5")
    people = np.array([s.partition("/")[0] for s in sources])
    keep = np.array([p.startswith("person") for p in people])
    cosines = embeddings[keep] @ embeddings[keep].T
    same = people[keep][:, None] == people[keep][None]
    assert cosines[same].min() > cosines[~same].max()


def test_photos_and_their_crops_give_the_same_vectors(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    invoke("align", people, tmp_path / "png", "--crops", "png")
    invoke("align", people, tmp_path / "jpeg")
    invoke("embed", tmp_path / "png", tmp_path / "png.h5")
    invoke("embed", tmp_path / "jpeg", tmp_path / "jpeg.h5")
    done = invoke("embed", people, tmp_path / "photos.h5")
    assert done.code == 3 and sum(row["reason"] == "no_face" for row in done.rows) == 4
    photos, _, _ = read_plainly(tmp_path / "photos.h5")
    png, _, _ = read_plainly(tmp_path / "png.h5")
    jpeg, _, _ = read_plainly(tmp_path / "jpeg.h5")
    assert (photos * png).sum(axis=1).min() > 0.9999
    assert (photos * jpeg).sum(axis=1).min() >= 0.998


def test_channel_order_matters(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "rgb.png")
    red, green, blue = face.split()
    Image.merge("RGB", (blue, green, red)).save(raw / "bgr.png")
    invoke("embed", raw, tmp_path / "a.h5")
    assert vector(tmp_path / "a.h5", "rgb.png") @ vector(tmp_path / "a.h5", "bgr.png") < 0.995


def test_a_second_run_adds_only_new_photos(invoke: Cosface, aligned: Path, people: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    invoke("embed", aligned, store)
    first = store.read_bytes()
    again = invoke("embed", aligned, store)
    assert "0 done, 20 unchanged" in again.err and store.read_bytes() == first
    raw = tmp_path / "more"
    shutil.copytree(people, raw)
    (raw / "person0").mkdir()
    shutil.copy(people / "person3" / "far.jpg", raw / "person0" / "new.jpg")
    invoke("align", raw, aligned)
    more = invoke("embed", aligned, store)
    assert "1 done, 20 unchanged" in more.err
    invoke("embed", aligned, tmp_path / "fresh.h5")
    assert store.read_bytes() == (tmp_path / "fresh.h5").read_bytes(), "grown or made at once: the same bytes"


def test_a_changed_crop_replaces_its_row(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    invoke("embed", aligned, store)
    shutil.copy(aligned / "person2" / "far.jpg", aligned / "person1" / "far.jpg")
    assert "1 done, 19 unchanged" in invoke("embed", aligned, store).err
    assert read_plainly(store)[0].shape == (20, 128)
    assert vector(store, "person1/far.jpg") @ vector(store, "person2/far.jpg") > 0.995


@pytest.mark.parametrize("flip", ["sum", "concat"])
def test_flips(invoke: Cosface, people: Path, tmp_path: Path, flip: str) -> None:
    source = people / "person5"
    invoke("align", source, tmp_path / "a", "--crops", "png")
    invoke("embed", tmp_path / "a", tmp_path / "flip.h5", "--flip", flip)
    # the same by hand: embed the crop and its mirror image, each a crop folder of its own
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    (tmp_path / "plain").mkdir()
    for path in (tmp_path / "a").glob("*.png"):
        with Image.open(path) as image:
            cut = image.crop((21, 42, 171, 192))
            cut.save(tmp_path / "plain" / path.name)
            cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored / path.name)
    from cosface_cli.engines.embedders.dlib_embedder import open_dlib

    network = open_dlib()
    for path in mirrored.glob("*.png"):
        with Image.open(tmp_path / "plain" / path.name) as a, Image.open(path) as b:
            out = network.embed(np.stack([np.asarray(a), np.asarray(b)])).astype(np.float64)
        by_hand = out[0] + out[1] if flip == "sum" else np.concatenate(out)
        by_hand /= np.linalg.norm(by_hand)
        assert np.abs(by_hand - vector(tmp_path / "flip.h5", path.name)).max() < 1e-6


def test_limits_and_rotations_are_as_for_align(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "upright.png")
    face.rotate(180).save(raw / "turned.png")
    options = ("--try-rotations", "--min-score", "0.95")
    assert invoke("embed", raw, tmp_path / "a.h5", *options).code == 0
    assert vector(tmp_path / "a.h5", "upright.png") @ vector(tmp_path / "a.h5", "turned.png") > 0.98
    invoke("align", raw, tmp_path / "crops", "--crops", "png", *options)
    invoke("embed", tmp_path / "crops", tmp_path / "b.h5")
    for name in ("upright.png", "turned.png"):
        assert vector(tmp_path / "a.h5", name) @ vector(tmp_path / "b.h5", name) > 0.9999
    sharp = invoke("embed", raw, tmp_path / "c.h5", "--min-sharpness", "1e6", *options)
    assert sharp.code == 2 and {row["reason"] for row in sharp.rows} == {"blurred"}
    away = invoke("embed", raw / "upright.png", tmp_path / "d.h5", "--max-yaw", "0")
    assert away.code == 2 and away.rows[0]["reason"] == "turned_away"


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(invoke: Cosface, people: Path, tmp_path: Path, workers: int) -> None:
    invoke("embed", people, tmp_path / "two.h5", "--workers", 2)
    invoke("embed", people, tmp_path / "n.h5", "--workers", workers)
    assert (tmp_path / "two.h5").read_bytes() == (tmp_path / "n.h5").read_bytes()


def test_another_flip_or_model_is_refused(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    invoke("embed", aligned, store)
    before = store.read_bytes()
    flip = invoke("embed", aligned, store, "--flip", "sum")
    assert flip.code == 2 and "flip none" in flip.err and store.read_bytes() == before


def test_a_folder_without_manifest_needs_its_template(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(aligned, plain)
    for name in ("manifest.jsonl", "rejects.jsonl"):
        (plain / name).unlink()
    done = invoke("embed", plain, tmp_path / "a.h5", "--template", "wide")
    assert done.code == 0
    invoke("embed", aligned, tmp_path / "b.h5")
    assert (read_plainly(tmp_path / "a.h5")[0] == read_plainly(tmp_path / "b.h5")[0]).all()
    wrong = invoke("embed", plain, tmp_path / "c.h5", "--template", "arcface")
    assert wrong.code == 2 and "--template wide" in wrong.err, "arcface crops do not show what dlib's network needs"
    other = invoke("embed", plain, tmp_path / "d.h5", "--template", "dlib")
    assert other.code == 2 and {row["reason"] for row in other.rows} == {"wrong_size"}


def test_a_damaged_store_is_moved(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    invoke("embed", aligned, store)
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2])
    done = invoke("embed", aligned, store)
    assert done.code == 0 and "this store is damaged; it was moved to faces.h5.broken" in done.err
    assert store.read_bytes() == whole and (tmp_path / "faces.h5.broken").read_bytes() == whole[: len(whole) // 2]


def test_another_file_in_place_of_the_store_stays(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.arange(5)
    before = other.read_bytes()
    done = invoke("embed", aligned, other)
    assert done.code == 2 and "not a cosface embedding store" in done.err and other.read_bytes() == before


def test_one_line_errors(invoke: Cosface, aligned: Path, tmp_path: Path) -> None:
    for words, part in [
        (("embed", tmp_path / "none", tmp_path / "a.h5"), "no such file or folder"),
        (("embed", aligned, tmp_path / "a.h5", "--model", "dlibb"), "did you mean 'dlib'?"),
        (("embed", aligned, tmp_path / "a.h5", "--model", tmp_path), "no weights here"),
        (("embed", aligned, tmp_path / "a.h5", "--flip", "summ"), "did you mean 'sum'?"),
    ]:
        done = invoke(*words)
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and part in done.err, done
    assert not (tmp_path / "a.h5").exists()
