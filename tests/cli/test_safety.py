"""Files that cosface did not write are never overwritten, deleted or trusted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts.run.weights import read_header, read_tensors, save_weights
from tests.conftest import Cosface
from tests.folders import contents

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "cosface_cli"]
SCRIPT = Path(sys.executable).with_name("cosface")  # its exit code is its own: python -m may end by SIGINT itself


def test_the_crop_folder_cannot_be_the_photo_folder(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(people / "person1", photos)
    before = contents(photos)
    done = invoke("align", photos, photos)
    assert done.code == 2 and "choose another folder" in done.err and contents(photos) == before


def test_a_file_in_the_place_of_a_crop_stays(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "far.jpg").write_bytes(b"another file")
    done = invoke("align", people / "person1", out)
    assert done.code == 2 and "far.jpg" in done.err and len(done.err.splitlines()) == 1
    assert (out / "far.jpg").read_bytes() == b"another file"


def test_an_index_deletes_no_other_files(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    invoke("embed", people / "person1", folder / "rows.2024.h5")
    (folder / "index.mine.faiss").write_bytes(b"mine")
    (folder / ".download.part").write_bytes(b"half")
    before = contents(folder)
    done = invoke("index", "build", folder / "rows.2024.h5", folder)
    assert done.code == 2 and "other content" in done.err and contents(folder) == before
    index = tmp_path / "i"
    invoke("index", "build", folder / "rows.2024.h5", index)
    (index / "rows.2024.h5").write_bytes(b"mine")
    assert invoke("index", "build", folder / "rows.2024.h5", index).code == 0
    assert (index / "rows.2024.h5").read_bytes() == b"mine"


def test_a_name_too_long_is_one_reject(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a" * 251 + ".jpg", "b" * 250 + ".jpeg", "c" * 254, "z.jpg"):
        shutil.copy(people / "person5" / "far.jpg", raw / name)
    done = invoke("align", raw, tmp_path / "out")
    reasons = {Path(row["source"]).name[0]: row["reason"] for row in done.rows}
    assert done.code == 3 and reasons == {"a": None, "b": None, "c": "name_too_long", "z": None}, done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, people: Path, model_cache: Path) -> Path:
    """A run of one epoch on the packaged people."""
    from cosface_cli.align import AlignConfig
    from cosface_cli.align.stage import align
    from cosface_cli.train import TrainConfig
    from cosface_cli.train.stage import train

    root = tmp_path_factory.mktemp("run")
    align(AlignConfig(raw=str(people), aligned=root / "aligned", workers=1))
    train(TrainConfig(aligned=root / "aligned", out=root / "run", epochs=1, batch=8, threads=1))
    return root


def test_weights_are_known_by_their_tensors(invoke: Cosface, run: Path, people: Path, tmp_path: Path) -> None:
    """A file with the id of another model is not taken for it, and does not replace its cached graph."""
    genuine = run / "run" / "weights.safetensors"
    tensors = {name: value * np.float32(2) for name, value in read_tensors(genuine).items()}
    save_weights(tmp_path / "forged.safetensors", tensors, read_header(genuine))
    words = ("verify", people / "person1" / "far.jpg", people / "person1" / "near.jpg", "--threshold", "0", "--model")
    env = {"COSFACE_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache").mkdir()
    forged = invoke(*words, tmp_path / "forged.safetensors", env=env)
    assert forged.code == 2 and "forged.safetensors" in forged.err and len(forged.err.splitlines()) == 1
    assert invoke(*words, run / "run", env=env).code in (0, 1)


def test_store_probes_of_zero_length_are_rejected(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.h5"
    invoke("embed", people / "person1", store)
    invoke("index", "build", store, tmp_path / "i")
    with h5py.File(store, "r+") as file:
        file["embeddings"][0] = file["embeddings"][0] * 400
        file["embeddings"][1] = np.nan
    done = invoke("index", "search", tmp_path / "i", store, "-k", 1)
    assert done.code == 3 and [row["status"] for row in done.rows] == ["rejected", "rejected", "ok"], done


def test_people_of_a_list_lie_below_its_root(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    paths = f"{people}/person1/far.jpg\n{people}/person2/far.jpg\n".encode()
    named = invoke("embed", "-", tmp_path / "a.h5", "--root", people, input=paths)
    assert [row["identity"] for row in named.rows] == ["person1", "person2"]
    unnamed = invoke("embed", "-", tmp_path / "b.h5", input=paths)
    assert [row["identity"] for row in unnamed.rows] == [None, None]
    invoke("align", "-", tmp_path / "c", "--root", people, input=paths)
    assert (tmp_path / "c" / "person1" / "far.jpg").is_file()
    assert invoke("embed", people, tmp_path / "d.h5", "--root", people).code == 2


def test_options_without_effect_are_reported(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    invoke("align", people / "person1", tmp_path / "a")
    noted = invoke("embed", tmp_path / "a", tmp_path / "a.h5", "--faces", "center")
    assert noted.code == 0 and "have no effect: --faces" in noted.err
    assert invoke("embed", tmp_path / "a", tmp_path / "b.h5", "--template", "dlib").code == 2
    pair = (people / "person1" / "far.jpg", people / "person1" / "near.jpg")
    assert invoke("verify", *pair, "--workers", 4).code == 2


def test_a_full_standard_output_is_one_line(people: Path) -> None:
    words = ["verify", str(people / "person1" / "far.jpg"), str(people / "person1" / "near.jpg")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"No space left" in done.stderr, done.stderr


def test_a_variable_of_somebody_elses_is_no_version_flag(invoke: Cosface) -> None:
    assert "Usage" in invoke("verify", "--help", env={"COSFACE_VERSION": "0.1.0"}).out


@pytest.mark.parametrize("seconds", [0.4, 0.7, 1.0])
def test_ctrl_c_leaves_no_traceback(people: Path, tmp_path: Path, seconds: float) -> None:
    raw = tmp_path / "raw"
    for copy in range(30):
        shutil.copytree(people / "person1", raw / str(copy))
    words = ["align", str(raw), str(tmp_path / "out"), "--workers", "2"]
    process = subprocess.Popen([SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the workers too
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err, err.decode()
    assert process.returncode in (130, 0), (process.returncode, err)


def test_ctrl_c_during_an_import_ends_with_130(people: Path, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text(
        "exec('import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)')"
    )
    words = [SCRIPT, "align", str(people), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (130, b"cosface: interrupted; what was written is kept\n")
