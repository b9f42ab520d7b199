"""Archives, RecordIO, videos and patterns as sources of align, embed and search."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cosface
from tests.folders import contents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    """raw/: two people with three photos each, one with cloth masks that gives rejects; not to be written to."""
    root = tmp_path_factory.mktemp("few") / "raw"
    for name in ("person1", "person2", "masks"):
        shutil.copytree(people / name, root / name)
    return root


@pytest.fixture(scope="module")
def packed(few: Path) -> dict[str, Path]:
    """The same photos in archives, by kind."""
    files = sorted(path for path in few.rglob("*") if path.is_file())
    out = {kind: few.parent / f"few.{kind}" for kind in ("zip", "tar", "tgz", "rec")}
    with zipfile.ZipFile(out["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        for path in reversed(files):
            archive.write(path, path.relative_to(few))
    for kind, mode in (("tar", "w"), ("tgz", "w:gz")):
        with tarfile.open(out[kind], mode) as tar:  # type: ignore[call-overload]
            tar.add(few, ".")
    with out["rec"].open("wb") as handle:
        for number, path in enumerate(files):
            label = float(sorted({p.parent.name for p in files}).index(path.parent.name))
            own = struct.pack("IfQQ", 0, label, number, 0) + path.read_bytes()
            handle.write(struct.pack("<II", 0xCED7230A, len(own)) + own + bytes(-len(own) % 4))
    return out


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, face: Image.Image) -> Path:
    """films/someone/clip.avi: four seconds with a face, in the third of which there is none."""
    path = tmp_path_factory.mktemp("films") / "films" / "someone" / "clip.avi"
    path.parent.mkdir(parents=True)
    picture = cv2.cvtColor(np.asarray(face), cv2.COLOR_RGB2BGR)
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    out = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 5, (width, height))
    for number in range(20):
        shown = picture[:height, :width]
        out.write(np.full_like(shown, 90) if 10 <= number < 15 else np.ascontiguousarray(shown))
    out.release()
    return path


def lines(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, object]]:
    """Without the time, which is the archive's, and without words, which name the archive."""
    found = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("mtime_ns", "words")} for line in found]


@pytest.fixture(scope="module")
def from_folder(tmp_path_factory: pytest.TempPathFactory, few: Path, model_cache: Path) -> Path:
    out = tmp_path_factory.mktemp("from_folder") / "aligned"
    done = subprocess.run([sys.executable, "-m", "cosface_cli", "align", few, out, "--quiet"], capture_output=True)
    assert done.returncode == 3, done
    return out


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_an_archive_gives_what_its_folder_gives(
    invoke: Cosface, packed: dict[str, Path], from_folder: Path, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "aligned"
    done = invoke("align", packed[kind], out, "--workers", "1" if kind == "tar" else "2")
    assert done.code == 3, done
    pictures = {name: own for name, own in contents(out).items() if name.endswith(".jpg")}
    assert pictures == {name: own for name, own in contents(from_folder).items() if name.endswith(".jpg")}
    for name in ("manifest.jsonl", "rejects.jsonl"):
        assert lines(out, name) == lines(from_folder, name)
    assert {row["source"] for row in done.rows} >= {f"{packed[kind]}/person1/near.jpg"}
    assert f"{packed[kind]}/masks/" in done.err
    before = contents(out)
    again = invoke("align", packed[kind], out)
    assert "0 done, 6 unchanged" in again.err and contents(out) == before
    packed[kind].touch()
    touched = invoke("align", packed[kind], out)
    assert "0 done, 6 unchanged" in touched.err
    assert lines(out) == lines(from_folder)


def test_recordio_gives_the_same_crops_by_label(
    invoke: Cosface, packed: dict[str, Path], from_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "aligned"
    assert invoke("align", packed["rec"], out).code == 3
    assert {Path(name).parts[0] for name in contents(out) if name.endswith(".jpg")} == {"1", "2"}
    ours = sorted(own for name, own in contents(out).items() if name.endswith(".jpg"))
    assert ours == sorted(own for name, own in contents(from_folder).items() if name.endswith(".jpg"))
    assert "0 done, 6 unchanged" in invoke("align", packed["rec"], out).err


def test_a_pattern_gives_what_its_folder_gives(invoke: Cosface, few: Path, from_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    assert invoke("align", few / "person*" / "*.jpg", out).code == 0
    assert lines(out) == lines(from_folder)
    none = invoke("align", few / "*.tif", tmp_path / "none")
    assert none.code == 2 and len(none.err.splitlines()) == 1 and "no photo matches" in none.err
    assert not (tmp_path / "none").exists()


def test_a_changed_member_is_aligned_again(invoke: Cosface, few: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "a.zip", tmp_path / "aligned"

    def pack(second: str) -> None:
        with zipfile.ZipFile(archive, "w") as made:
            made.write(few / "person1" / "near.jpg", "p/a.jpg")
            made.write(few / "person2" / second, "p/b.jpg")

    pack("near.jpg")
    invoke("align", archive, out)
    pack("far.jpg")
    done = invoke("align", archive, out)
    assert [row["source"] for row in done.rows if row["status"] == "ok"] == [f"{archive}/p/b.jpg"]
    invoke("align", archive, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_frames_of_videos(invoke: Cosface, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    done = invoke("align", film.parents[1], out, "--workers", "2")
    assert done.code == 3, done
    assert [row["status"] for row in done.rows] == ["ok", "ok", "rejected", "ok"]
    frames = [f"someone/clip.avi/0000{second}.000" for second in (0, 1, 3)]
    assert [line["source"] for line in lines(out)] == [f"{name}.png" for name in frames]
    assert [line["crop"] for line in lines(out)] == [f"{name}.jpg" for name in frames]
    assert lines(out, "rejects.jsonl")[0]["source"] == "someone/clip.avi/00002.000.png"
    before = contents(out)
    assert "0 done, 3 unchanged, 1 rejected" in invoke("align", film.parents[1], out).err and contents(out) == before
    invoke("align", film.parents[1], tmp_path / "one", "--workers", "1")
    assert contents(tmp_path / "one") == before
    finer = invoke("align", film, tmp_path / "finer", "--every", "0.5")
    assert [row["status"] for row in finer.rows] == ["ok"] * 4 + ["rejected"] * 2 + ["ok"] * 2
    assert (tmp_path / "finer" / "clip.avi" / "00000.500.jpg").is_file()


def test_every_without_a_video_is_noted(invoke: Cosface, few: Path, from_folder: Path, tmp_path: Path) -> None:
    one = few / "person1" / "near.jpg"
    assert "--every 2 has no effect" in invoke("align", one, tmp_path / "a", "--every", "2").err
    for source in (one, from_folder):
        noted = invoke("embed", source, tmp_path / "a.h5", "--every", "2")
        assert noted.code == 0 and "--every 2 has no effect" in noted.err, noted
    wrong = invoke("align", one, tmp_path / "a", "--every", "0")
    assert wrong.code == 2 and len(wrong.err.splitlines()) == 1 and "--every" in wrong.err


def test_embed_and_search_take_them_too(
    invoke: Cosface, few: Path, packed: dict[str, Path], film: Path, tmp_path: Path
) -> None:
    store = tmp_path / "faces.h5"
    assert invoke("embed", packed["zip"], store).code == 3
    assert "0 done, 6 unchanged" in invoke("embed", packed["zip"], store).err
    assert invoke("embed", film.parents[1], store).code == 3
    again = invoke("embed", film.parents[1], store)
    assert "0 done, 3 unchanged" in again.err
    invoke("index", "build", store, tmp_path / "people.index")
    for probe in (packed["tar"], packed["rec"], few / "**" / "near.jpg"):
        found = invoke("index", "search", tmp_path / "people.index", probe, "-k", "1")
        hits = [row for row in found.rows if row.get("cos") is not None]
        assert hits and all(row["cos"] > 0.999 for row in hits), found
        if probe == packed["tar"]:
            assert all(row["probe"] == f"{probe}/{row['source']}" for row in hits) and len(hits) == 6
    found = invoke("index", "search", tmp_path / "people.index", film, "-k", "1")
    assert {row["identity"] for row in found.rows if row.get("cos")} == {"someone"}


def test_two_archives_with_the_same_names_are_two_sources(invoke: Cosface, few: Path, tmp_path: Path) -> None:
    for name, person in (("a.zip", "person1"), ("b.zip", "person2")):
        with zipfile.ZipFile(tmp_path / name, "w") as out:
            out.write(few / person / "near.jpg", "p/near.jpg")
        assert invoke("embed", tmp_path / name, tmp_path / "faces.h5").code == 0
    invoke("index", "build", tmp_path / "faces.h5", tmp_path / "i")
    found = invoke("index", "search", tmp_path / "i", few / "person1" / "near.jpg", "-k", "5")
    assert len(found.rows) == 2 and found.rows[0]["cos"] > 0.999 > found.rows[1]["cos"]


def test_damage_is_one_line_or_a_named_reject(invoke: Cosface, packed: dict[str, Path], tmp_path: Path) -> None:
    for kind, keep in (("zip", -30), ("tar", 3000), ("tgz", -20), ("rec", -50)):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(packed[kind].read_bytes()[:keep])
        done = invoke("align", cut, tmp_path / "out")
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1, done
        assert f"{cut}: damaged" in done.err and not (tmp_path / "out").exists()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as out:
        out.write(packed["zip"].parent / "raw" / "person1" / "near.jpg", "../../escaped.jpg")
    done = invoke("align", tmp_path / "evil.zip", tmp_path / "deep" / "out")
    assert done.code == 2 and done.rows[0]["reason"] == "unsafe_name", done
    assert not list(tmp_path.rglob("escaped*"))
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(3000))
    done = invoke("align", tmp_path / "bad.mp4", tmp_path / "out2")
    assert done.code == 2 and done.rows[0]["reason"] == "decode_error" and "bad.mp4" in done.err


@pytest.mark.parametrize("kind", ["tgz", "film"])
def test_kill_and_again(invoke: Cosface, packed: dict[str, Path], film: Path, tmp_path: Path, kind: str) -> None:
    source = film if kind == "film" else packed[kind]
    words = ["align", source, "--every", "0.2"] if kind == "film" else ["align", source]
    invoke(*words, tmp_path / "whole")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "cosface_cli", *map(str, words), str(out), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    invoke(*words, out)
    assert contents(out) == contents(tmp_path / "whole")
