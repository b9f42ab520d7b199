"""cosface align on the command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cosface_cli.maths.geometry import TEMPLATES, apply, similarity
from tests.conftest import Cosface
from tests.folders import contents

pytestmark = pytest.mark.slow

ORIENTATION = 274
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def manifest(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_every_photo_becomes_a_crop_or_a_named_reject(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    done = invoke("align", people, out, "--faces", "all", "--min-score", "0.9")
    assert done.code == 3, done
    photos = [p for p in people.rglob("*") if p.is_file()]
    assert {row["source"] for row in done.rows} == {str(p) for p in photos}
    ok = [row for row in done.rows if row["status"] == "ok"]
    assert {Path(row["source"]).parent.name for row in done.rows if row["reason"] == "no_face"} == {"masks"}
    assert sum("t1.jpg" in row["source"] for row in ok) == 6
    for row in ok:
        assert size(Path(row["crop"])) == (192, 192)
        (x0, y0), (x1, _), (_, y2) = row["landmarks"][:3]
        assert x0 < x1 and y2 > y0, "left eye left of the right one, nose below"
    assert {row["crop"] for row in ok} == {str(out / str(line["crop"])) for line in manifest(out)}
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert all(r["reason"] == "no_face" and "no face was found" in r["words"] for r in rejects) and len(rejects) == 4
    assert "4 rejected (no_face 4)" in done.err.splitlines()[-1]


def test_single_faces_keep_the_stem_and_the_folder(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    invoke("align", people, out)
    assert (out / "person1" / "near.jpg").is_file() and (out / "group" / "t1.jpg").is_file()
    assert not list(out.rglob("*.2.jpg"))


def test_second_run_does_nothing_and_a_changed_photo_is_done_again(
    invoke: Cosface, people: Path, tmp_path: Path
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "aligned"
    shutil.copytree(people, raw)
    invoke("align", raw, out)
    before = contents(out)
    again = invoke("align", raw, out)
    assert "0 done, 20 unchanged, 4 rejected" in again.err and contents(out) == before
    shutil.copy(raw / "person2" / "far.jpg", raw / "person1" / "far.jpg")
    changed = invoke("align", raw, out)
    assert [row["source"] for row in changed.rows if row["status"] == "ok"] == [str(raw / "person1" / "far.jpg")]
    after = contents(out)
    assert {n for n in after if after[n] != before[n]} == {"person1/far.jpg", "manifest.jsonl"}
    assert after["person1/far.jpg"] == after["person2/far.jpg"]
    fresh = tmp_path / "fresh"
    invoke("align", raw, fresh)
    assert contents(fresh) == after


def test_touching_a_photo_changes_no_crop(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "aligned"
    shutil.copytree(people / "person1", raw / "person1")
    invoke("align", raw, out)
    before = (out / "person1" / "far.jpg").stat().st_mtime_ns
    (raw / "person1" / "far.jpg").touch()
    again = invoke("align", raw, out)
    assert "0 done, 3 unchanged" in again.err
    assert (out / "person1" / "far.jpg").stat().st_mtime_ns == before


def test_a_removed_crop_is_made_again(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    invoke("align", people / "person1", out)
    before = contents(out)
    (out / "far.jpg").unlink()
    assert "1 done, 2 unchanged" in invoke("align", people / "person1", out).err
    assert contents(out) == before


def test_a_changed_photo_without_a_face_loses_its_crop(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "aligned"
    shutil.copytree(people / "person1", raw)
    invoke("align", raw, out)
    Image.new("RGB", (200, 200)).save(raw / "far.jpg")
    assert invoke("align", raw, out).code == 3
    assert not (out / "far.jpg").exists() and {line["crop"] for line in manifest(out)} == {"near.jpg", "middle.jpg"}


def test_other_settings_are_refused_until_redo(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    invoke("align", people / "person1", out)
    before = contents(out)
    refused = invoke("align", people / "person1", out, "--template", "arcface")
    assert refused.code == 2 and "--redo" in refused.err and contents(out) == before
    assert invoke("align", people / "person1", out, "--template", "arcface", "--redo").code == 0
    assert size(out / "far.jpg") == (112, 112)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation_tags(invoke: Cosface, face: Image.Image, tmp_path: Path, suffix: str) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for tag in range(1, 9):
        turned = face.transpose(TURNS[tag]) if tag > 1 else face
        exif = Image.Exif()
        exif[ORIENTATION] = tag
        turned.save(
            raw / f"o{tag}.{suffix}", exif=exif, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {})
        )
    done = invoke("align", raw, out, "--crops", "png")
    assert done.code == 0 and len(done.rows) == 8, done
    first = pixels(out / "o1.png")
    for tag in range(2, 9):
        assert np.abs(pixels(out / f"o{tag}.png") - first).mean() < 3, tag


def test_every_kind_of_picture(invoke: Cosface, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = invoke("align", odd, out)
    assert done.code == 0 and len(done.rows) == len(list(odd.iterdir())), done
    reference = pixels(out / "rgb.jpg").ravel()
    for row in done.rows:
        other = pixels(Path(row["crop"])).ravel()
        cosine = reference @ other / (np.linalg.norm(reference) * np.linalg.norm(other))
        assert cosine > 0.95, row["source"]


def test_colours_keep_their_order(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    red, blue, _ = face.split()[0], face.split()[2], None
    raw = tmp_path / "raw"
    raw.mkdir()
    Image.merge("RGB", (red, red.point(lambda v: v // 2), blue.point(lambda v: v // 4))).save(raw / "reddish.png")
    invoke("align", raw, tmp_path / "out")
    means = pixels(tmp_path / "out" / "reddish.jpg").mean(axis=(0, 1))
    assert means[0] > 1.5 * means[1] > 1.5 * means[2]


def test_damaged_files_are_rejects_and_the_others_are_aligned(
    invoke: Cosface, face: Image.Image, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "good.jpg", quality=95)
    whole = (raw / "good.jpg").read_bytes()
    (raw / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (raw / "nearly.jpg").write_bytes(whole[: len(whole) * 95 // 100])
    (raw / "empty.jpg").write_bytes(b"")
    (raw / "words.jpg").write_text("this is no picture")
    Image.new("RGB", (300, 300)).save(raw / "black.jpg")
    (raw / "notes.txt").write_text("not a photo, and not called one")
    (raw / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 64)
    done = invoke("align", raw, tmp_path / "out")
    assert done.code == 3
    reasons = {Path(row["source"]).name: row["reason"] for row in done.rows}
    assert reasons == {
        "good.jpg": None,
        "half.jpg": "truncated",
        "nearly.jpg": "truncated",
        "empty.jpg": "empty_file",
        "words.jpg": "unsupported_format",
        "black.jpg": "no_face",
        "phone.heic": "unsupported_format",
    }
    assert "cosface[heic]" in done.err and "notes.txt" in done.err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"good.jpg", "manifest.jsonl", "rejects.jsonl"}


def test_equal_stems_do_not_collide(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for name in ("1/0000.jpg", "2/0000.jpg", "a.jpg", "a.png", "a.2.jpg"):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        face.save(raw / name)
    done = invoke("align", raw, tmp_path / "out")
    crops = {row["crop"] for row in done.rows}
    assert len(crops) == 5 and all(Path(crop).is_file() for crop in crops)


def test_names_of_every_script(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    names = [b"a b.jpg", b"a,b.jpg", b'a"b.jpg', b"a\nb.jpg", b"a\tb.jpg", b"-a.jpg", b"%41.jpg", "人脸.jpg".encode()]
    names += [b"\xff.jpg", "é.jpg".encode(), b"a'b.jpg", b"a\\b.jpg"]
    for name in names:
        (Path(str(raw)) / os.fsdecode(name)).write_bytes(content)
    done = invoke("align", raw, tmp_path / "out")
    assert done.code == 0, done
    assert {os.fsencode(Path(row["source"]).name) for row in done.rows} == set(names)
    assert all(Path(row["crop"]).is_file() for row in done.rows)
    assert "0 done, 12 unchanged" in invoke("align", raw, tmp_path / "out").err


def test_a_rotated_face_becomes_upright(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "o1.png")
    face.rotate(15, resample=Image.Resampling.BICUBIC, expand=True).save(raw / "rot15.png")
    done = invoke("align", raw, tmp_path / "out")
    assert done.code == 0
    want = TEMPLATES["wide"].landmarks
    in_crop: list[np.ndarray] = []
    for row in done.rows:
        points = np.array(row["landmarks"])
        in_crop.append(apply(similarity(points, want), points))
        assert abs(in_crop[-1][0, 1] - in_crop[-1][1, 1]) < 3, "eyes level in the crop"
    assert np.abs(in_crop[0] - in_crop[1]).max() < 4, "the same place in both crops"


def test_a_photo_on_its_side_never_gives_a_sideways_crop(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for turn in (90, 180):
        face.rotate(turn, expand=True).save(raw / f"rot{turn}.png")
    for row in invoke("align", raw, tmp_path / "out").rows:
        if row["status"] == "ok":
            (x0, _), (x1, _), (_, nose), (_, mouth), _ = row["landmarks"]
            assert x0 < x1 and nose < mouth


def test_try_rotations(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    """Photos on their side give the same crop as the upright photo; coordinates are those of the file."""
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "r0.png")
    for turn in (90, 180, 270):  # counterclockwise
        face.rotate(turn, expand=True).save(raw / f"r{turn}.png")
    plain = invoke("align", raw, tmp_path / "plain")
    assert plain.code == 3 and [row["status"] for row in plain.rows].count("ok") < 4, "off unless asked for"
    done = invoke("align", raw, tmp_path / "out", "--try-rotations", "--crops", "png", "--min-score", "0.95")
    assert done.code == 0, done
    lines = manifest(tmp_path / "out")
    assert [line["rotation"] for line in lines] == [row["rotation"] for row in done.rows] == [0, 180, 270, 90]
    assert [line["source"] for line in lines] == ["r0.png", "r180.png", "r270.png", "r90.png"]
    assert all("try_rotations" in str(line["settings"]) for line in lines)
    first = pixels(tmp_path / "out" / "r0.png")
    for line in lines[1:]:
        assert np.abs(pixels(tmp_path / "out" / str(line["crop"])) - first).mean() < 6, line
        (x, y), right_eye = np.array(line["landmarks"])[0], np.array(line["landmarks"])[1]
        turned = np.degrees(np.arctan2(right_eye[1] - y, right_eye[0] - x)) + float(str(line["rotation"]))
        assert abs((turned + 180) % 360 - 180) < 15, "the eyes of the photo as it is lie as it was turned"
    assert invoke("align", raw, tmp_path / "out").code == 2, "other settings"


def test_photos_of_the_same_content_are_reported(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(people / "person1", raw)
    assert "same content" not in invoke("align", raw, tmp_path / "out").err
    for name in ("again.jpg", "once_more.jpg"):
        shutil.copy(raw / "far.jpg", raw / name)
    done = invoke("align", raw, tmp_path / "out")
    assert (
        f"2 photos have the same content as another, for example {raw / 'far.jpg'} and {raw / 'again.jpg'}" in done.err
    )
    hashes = [line["hash"] for line in manifest(tmp_path / "out")]
    assert done.code == 0 and len(hashes) == 5 and len(set(hashes)) == 3
    assert "2 photos have the same content" in invoke("align", raw, tmp_path / "out").err, "each time, as they stay"


def test_quality_is_recorded_and_limits_reject_by_it(invoke: Cosface, face: Image.Image, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    face.save(raw / "sharp.png")
    face.filter(ImageFilter.GaussianBlur(6)).save(raw / "soft.png")
    sharp, soft = (line["quality"] for line in (invoke("align", raw, tmp_path / "a"), manifest(tmp_path / "a"))[1])
    assert isinstance(sharp, dict) and isinstance(soft, dict)
    assert sharp.keys() == {"face_px", "sharpness", "yaw", "roll"}
    assert sharp["sharpness"] > 3 * soft["sharpness"] and abs(sharp["yaw"]) < 45 and abs(sharp["roll"]) < 30
    done = invoke("align", raw, tmp_path / "b", "--min-sharpness", sharp["sharpness"] / 2)
    assert done.code == 3 and [row["reason"] for row in done.rows] == [None, "blurred"]
    assert "below the limit" in done.err and "--min-sharpness" in done.err
    assert "min_sharpness=" in str(manifest(tmp_path / "b")[0]["settings"])
    away = invoke("align", raw / "sharp.png", tmp_path / "c", "--max-yaw", max(abs(sharp["yaw"]) - 0.5, 0))
    assert away.code == 2 and away.rows[0]["reason"] == "turned_away" and "--max-yaw" in away.err


def test_the_choice_of_faces(invoke: Cosface, packaged_photos: Path, tmp_path: Path) -> None:
    photo = packaged_photos / "t1.jpg"
    every = invoke("align", photo, tmp_path / "all", "--faces", "all", "--min-score", "0.9").rows
    assert len(every) == 6 and [row["face"] for row in every] == [1, 2, 3, 4, 5, 6]
    assert [row["box"][0] for row in every] == sorted(row["box"][0] for row in every)
    (largest,) = invoke("align", photo, tmp_path / "largest").rows
    (center,) = invoke("align", photo, tmp_path / "center", "--faces", "center", "--min-score", "0.9").rows

    def area(row: dict) -> float:
        return (row["box"][2] - row["box"][0]) * (row["box"][3] - row["box"][1])

    def off_center(row: dict) -> float:
        return float(np.hypot((row["box"][0] + row["box"][2]) / 2 - 640, (row["box"][1] + row["box"][3]) / 2 - 443))

    best = max(every, key=area)
    assert np.abs(np.array(largest["box"]) - best["box"]).max() < 10
    nearest = min(every, key=off_center)
    assert np.abs(np.array(center["box"]) - nearest["box"]).max() < 10


def test_limits_reject_with_a_reason(invoke: Cosface, packaged_photos: Path, tmp_path: Path) -> None:
    photo = packaged_photos / "t1.jpg"
    small = invoke("align", photo, tmp_path / "a", "--min-face", "180")
    assert small.code == 2 and small.rows[0]["reason"] == "too_small" and "--min-face" in small.err
    unsure = invoke("align", photo, tmp_path / "b", "--min-score", "1")
    assert unsure.code == 2 and unsure.rows[0]["reason"] == "low_score" and "--min-score" in unsure.err
    large = invoke("align", photo, tmp_path / "c", "--max-megapixels", "1")
    assert large.code == 2 and large.rows[0]["reason"] == "too_large"
    assert invoke("align", photo, tmp_path / "c", "--max-megapixels", "2").code == 0, "tried again with a higher limit"


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(invoke: Cosface, people: Path, tmp_path: Path, workers: int) -> None:
    invoke("align", people, tmp_path / "two", "--workers", "2")
    invoke("align", people, tmp_path / "n", "--workers", workers)
    assert contents(tmp_path / "two") == contents(tmp_path / "n")


def test_paths_on_standard_input(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    paths = [people / "person1" / "near.jpg", people / "person2" / "far.jpg", people / "person1" / "near.jpg"]
    text = "\n".join(map(str, paths)).encode() + b"\n"
    done = invoke("align", "-", tmp_path / "a", input=text)
    assert done.code == 0 and [row["source"] for row in done.rows] == [str(p) for p in paths[:2]]
    zero = invoke("align", "-", tmp_path / "b", input=text.replace(b"\n", b"\0"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b") and zero.code == 0
    inside = invoke("align", "-", tmp_path / "c", input=b"person1/near.jpg\n", cwd=people)
    assert (tmp_path / "c" / "person1" / "near.jpg").is_file(), inside


def test_codes_of_good_part_bad_and_empty(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    codes = [
        invoke("align", people / "person1", tmp_path / "1").code,
        invoke("align", people, tmp_path / "2").code,
        invoke("align", people / "masks", tmp_path / "3").code,
        invoke("align", empty, tmp_path / "4").code,
    ]
    assert codes == [0, 3, 2, 1]
    assert not (tmp_path / "4").exists()


def test_one_line_errors(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    for words, parts in [
        (("align", tmp_path / "nowhere", tmp_path / "o"), ("nowhere", "no such file or folder")),
        (("align", people, tmp_path / "o", "--template", "wyde"), ("did you mean 'wide'?",)),
        (("align", people, tmp_path / "o", "--faces", "larges"), ("did you mean 'largest'?",)),
        (("align", people, tmp_path / "o", "--detector", "mtcn"), ("mtcnn",)),
        (("align", people, tmp_path / "o", "--crops", "gif"), ("jpeg",)),
        (("align", people, people / "person1" / "near.jpg"), ("near.jpg",)),
        (("align", people), ("ALIGNED",)),
        (("align", people, tmp_path / "o", "--templat", "wide"), ("--template",)),
    ]:
        done = invoke(*words)
        assert done.code == 2 and done.out == "", done
        assert len(done.err.splitlines()) == 1 and done.err.startswith("cosface: "), done
        assert all(part in done.err for part in parts), done
    assert not (tmp_path / "o").exists()


def test_output_inside_the_source_is_left_out(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    shutil.copytree(people / "person1", tmp_path / "raw")
    invoke("align", tmp_path / "raw", tmp_path / "raw" / "aligned")
    again = invoke("align", tmp_path / "raw", tmp_path / "raw" / "aligned")
    assert "0 done, 3 unchanged" in again.err


def test_two_writers_are_refused(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    from cosface_cli.artifacts.files import atomic

    out = tmp_path / "aligned"
    out.mkdir()
    with atomic.lock(out / "manifest.jsonl"):
        busy = invoke("align", people / "person1", out)
    assert busy.code == 2 and "another cosface is writing there" in busy.err
    assert invoke("align", people / "person1", out).code == 0
