"""cosface embed with several models or devices: each store is the same as with its model alone."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.embed import EmbedConfig, EmbedReport, MergeConfig
from cosface_cli.embed.stage import embed
from cosface_cli.embed.store_merge import merge
from cosface_cli.engines.detectors.mtcnn.detector import MTCNN
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index import BuildConfig
from cosface_cli.index.stage import build
from cosface_cli.outcomes import Done, Outcome, Rejected, Skipped
from tests.conftest import Cosface
from tests.runs import a_run

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "cosface_cli"]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Path:
    """A run folder whose template is arcface, unlike the default model's."""
    return a_run(tmp_path_factory.mktemp("runs") / "mine", "mobilefacenet")


@pytest.fixture(scope="module")
def few(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven photos: a group, three people, one without a face, one that is not an image."""
    root = tmp_path_factory.mktemp("few") / "raw"
    for name in ("person1", "person2", "person5", "group"):
        shutil.copytree(people / name, root / name)
    shutil.copy(next((people / "masks").iterdir()), root / "mask.jpg")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


class Told(list[Outcome]):
    """Records the outcomes of a stage."""

    def __call__(self, outcome: Outcome) -> None:
        self.append(outcome)

    def kinds(self) -> Counter[str]:
        names = (type(one).__name__ for one in self if isinstance(one, Done | Skipped | Rejected))
        return Counter(names)


def run(source: Path, store: Path, *models: object, **settings: Any) -> EmbedReport:
    names = tuple(map(str, models)) or ("dlib",)
    emit = settings.pop("emit", Told())
    config = EmbedConfig(source=str(source), store=store, model=names if len(names) > 1 else names[0], workers=1)
    return embed(replace(config, **settings), emit)


def stores(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def alone(source: Path, folder: Path, mine: Path, **settings: Any) -> dict[str, bytes]:
    """The stores of both models, from one run for each model."""
    folder.mkdir()
    run(source, folder / "dlib.h5", **settings)
    run(source, folder / "mine.h5", mine, **settings)
    return stores(folder)


def test_from_photos_and_from_crops(
    invoke: Cosface, few: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = alone(few, tmp_path / "alone", mine, faces="all", min_score=0.9)
    words = ("--model", "dlib", "--model", mine, "--faces", "all", "--min-score", "0.9", "--workers", "2")
    done = invoke("embed", few, tmp_path / "faces", *words)
    assert done.code == 3 and stores(tmp_path / "faces") == want, done
    assert Counter(row["model"] for row in done.rows) == {"dlib": 15, "mine": 15, None: 2}
    assert "10 done, 2 rejected" in done.err and done.err.count("mask.jpg") == 1
    invoke("align", few, tmp_path / "crops")
    want = alone(tmp_path / "crops", tmp_path / "alone of crops", mine)
    asked: list[int] = []
    report = run(tmp_path / "crops", tmp_path / "of crops", "dlib", mine)
    assert stores(tmp_path / "of crops") == want and report == EmbedReport(rows=20, done=10, skipped=0, rejected=0)
    # a photo is looked at once, however many models there are
    real = MTCNN.detect
    monkeypatch.setattr(MTCNN, "detect", lambda self, *given: asked.append(1) or real(self, *given))
    run(few, tmp_path / "once", "dlib", mine)
    assert len(asked) == 11


def test_each_store_continues_where_it_was(few: Path, mine: Path, tmp_path: Path) -> None:
    raw, both = tmp_path / "raw", tmp_path / "both"
    shutil.copytree(few, raw)
    both.mkdir()
    run(raw, both / "dlib.h5")
    before = stores(both)
    told = Told()
    report = run(raw, both, "dlib", mine, emit=told)
    assert told.kinds() == {"Done": 10, "Rejected": 2} and report.rows == 20
    assert {row["model"] for one in told if isinstance(one, Done) for row in one.rows} == {"mine"}
    assert stores(both)["dlib.h5"] == before["dlib.h5"]
    assert stores(both) == alone(raw, tmp_path / "alone", mine)
    told = Told()
    run(raw, both, mine, "dlib", emit=told)
    assert told.kinds() == {"Skipped": 10, "Rejected": 2}
    shutil.copy(raw / "person5" / "near.jpg", raw / "person1" / "near.jpg")
    (raw / "person2" / "far.jpg").unlink()
    run(raw, both / "mine.h5", mine)  # which the other store has yet to learn
    told = Told()
    assert run(raw, both, "dlib", mine, emit=told, prune=True).gone == 1
    assert told.kinds() == {"Done": 1, "Skipped": 8, "Rejected": 2}
    assert stores(both) == alone(raw, tmp_path / "fresh", mine)


def test_a_photo_that_is_rejected_for_one_model(few: Path, mine: Path, tmp_path: Path) -> None:
    """Sharpness is measured in a model's own crops: a limit between the two rejects the photo for one model."""
    photo = few / "person1" / "near.jpg"
    sharp = {}
    run(photo, tmp_path / "both", "dlib", mine)
    for name in ("dlib", "mine"):
        with Store(tmp_path / "both" / f"{name}.h5") as store:
            sharp[name] = next(store.rows()).sharpness
    assert sharp["dlib"] != sharp["mine"]
    told = Told()
    run(photo, tmp_path / "limited", "dlib", mine, min_sharpness=sum(sharp.values()) / 2, emit=told)
    assert told.kinds() == {"Done": 1, "Rejected": 1}
    (done,) = (one for one in told if isinstance(one, Done))
    assert [row["model"] for row in done.rows] == [max(sharp, key=lambda name: sharp[name])]


def test_limits_of_another_run_lose_nothing(few: Path, mine: Path, tmp_path: Path) -> None:
    """A photo that is too large for this run changes nothing in the store that has it already."""
    both = tmp_path / "both"
    both.mkdir()
    run(few / "person1", both / "dlib.h5")
    before = stores(both)["dlib.h5"]
    for photo in (few / "person1").iterdir():
        photo.touch()
    run(few / "person1", both, "dlib", mine, max_megapixels=0.01)
    with Store(both / "mine.h5") as store:
        assert len(store) == 0 and {reject["reason"] for reject in store.rejects()} == {"too_large"}
    assert stores(both)["dlib.h5"] == before


def test_other_settings_embed_again(few: Path, tmp_path: Path) -> None:
    """An unchanged photo is read again if other faces of it are wanted."""
    store = tmp_path / "a.h5"
    assert run(few / "group", store).rows == 1
    assert run(few / "group", store, faces="all").rows > 1
    run(few / "group", tmp_path / "b.h5", faces="all")
    assert store.read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_killed_and_run_again(invoke: Cosface, few: Path, mine: Path, tmp_path: Path) -> None:
    want = alone(few, tmp_path / "alone", mine)
    at = random.Random(3)
    for number in range(3):
        words = ["embed", few, tmp_path / f"{number}", "--model", "dlib", "--model", mine, "--workers", "1"]
        process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        for _ in range(at.randint(1, 8)):
            assert process.stdout.readline()
        time.sleep(at.uniform(0, 0.01))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        assert invoke(*words).code == 3
        assert stores(tmp_path / f"{number}") == want


def test_one_line_errors(few: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = few / "person1"
    file = tmp_path / "there"
    file.write_bytes(b"something")
    (tmp_path / "folder").mkdir()
    shutil.copytree(mine, tmp_path / "other" / "mine")
    other = a_run(tmp_path / "second" / "MINE", "sphere4")
    for models, store, part in [
        (("dlib", "dlib"), "a", "--model dlib and --model dlib are the same model; give it once"),
        ((mine, tmp_path / "other" / "mine"), "a", "are the same model"),
        ((mine, other), "a", "both have the name 'MINE'; rename one folder"),
        (("dlib", mine), "there", "there: this is a file; the stores of several models need a folder; give"),
        (("dlib", mine), "new.h5", f"need a folder; give a folder, such as {tmp_path / 'new'}"),
        (
            ("dlib",),
            "folder",
            f"a folder; the store of one model is a file; give a file, such as {tmp_path}/folder/dlib.h5",
        ),
        (("dlib", "mine"), "a", "no model or file is called 'mine'"),
    ]:
        with pytest.raises(CosfaceError) as caught:
            run(photos, tmp_path / store, *models)
        assert part in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert file.read_bytes() == b"something" and not (tmp_path / "a").exists() and not (tmp_path / "new.h5").exists()
    run(photos, tmp_path / "both", "dlib", mine)
    before = stores(tmp_path / "both")
    for flip in ("sum", "concat"):
        with pytest.raises(ModelMismatch, match="flip none"):
            run(photos, tmp_path / "both", "dlib", mine, flip=flip)
    assert stores(tmp_path / "both") == before
    monkeypatch.chdir(mine)
    run(photos, tmp_path / "named", "dlib", ".")
    assert set(stores(tmp_path / "named")) == {"dlib.h5", "mine.h5"}


def test_models_from_file_and_environment(invoke: Cosface, few: Path, mine: Path, tmp_path: Path) -> None:
    blank = tmp_path / "my runs" / "mine"
    shutil.copytree(mine, blank)
    photo = few / "person1" / "near.jpg"
    for number, (text, env, want) in enumerate(
        (
            (f'model = "{blank}"', {}, None),
            (f'model = ["dlib", "{blank}"]', {}, {"dlib.h5", "mine.h5"}),
            ("", {"COSFACE_EMBED_MODEL": str(blank)}, None),
            ("", {"COSFACE_EMBED_MODEL": f"{blank}:dlib"}, {"dlib.h5", "mine.h5"}),
        )
    ):
        (tmp_path / "cosface.toml").write_text(f"[embed]\n{text}\n")
        done = invoke("embed", photo, tmp_path / f"{number}", env=env, cwd=tmp_path)
        assert done.code == 0, done
        assert {row["model"] for row in done.rows} == ({"mine"} if want is None else {"dlib", "mine"})
        assert want is None or set(stores(tmp_path / f"{number}")) == want


def test_several_devices_give_the_same_as_one(
    few: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers that run torch, a process each, as on two GPUs; the vectors are ONNX Runtime's to 1e-5."""
    want = alone(few, tmp_path / "alone", mine)
    for word in ("cpu:0", "cpu:0,1"):
        run(few, tmp_path / word, "dlib", mine, device=word, workers=3)
    assert stores(tmp_path / "cpu:0") == stores(tmp_path / "cpu:0,1")
    for name in want:
        with Store(tmp_path / "alone" / name) as one, Store(tmp_path / "cpu:0,1" / name) as other:
            assert one.header == other.header and list(one.rows()) == list(other.rows())
            assert one.rejects() == other.rejects()
            assert np.abs(one.vectors(0, len(one)) - other.vectors(0, len(other))).max() < 1e-5


def test_a_store_has_one_precision(invoke: Cosface, few: Path, tmp_path: Path) -> None:
    """A store does not mix precisions; an index does."""
    source = few / "person1"
    exact, half = tmp_path / "exact.h5", tmp_path / "half.h5"
    run(source, exact)
    run(source, half, precision="bf16")
    before = half.read_bytes()
    with Store(exact) as one, Store(half) as other:
        assert (one.header.precision, other.header.precision) == ("fp32", "bf16")
        assert replace(other.header, precision="fp32") == one.header
        vectors = [store.vectors(0, 3).astype(np.float64) for store in (one, other)]
    assert 1e-5 < np.abs(vectors[0] - vectors[1]).max() < 0.01
    assert (vectors[0] * vectors[1]).sum(axis=1).min() > 0.9999  # artifacts/README.md says what was measured
    for precision in ("fp32", "fp16"):
        with pytest.raises(ModelMismatch, match=f"precision bf16.*precision {precision}"):
            run(source, half, precision=precision)
    assert half.read_bytes() == before
    with pytest.raises(ModelMismatch, match=r"precision bf16.*precision fp32"):
        merge(MergeConfig(stores=(exact, half), out=tmp_path / "all.h5"))
    assert build(BuildConfig(stores=(exact, half), index=tmp_path / "index")).doubles == 3
    assert [row["precision"] for row in invoke("embed", "info", half).rows] == ["bf16"]
    for words, part in [
        (("--precision", "fp23"), "did you mean 'fp32'?"),
        (("--precision", "bf16", "--model", "dlib-int8"), "dlib-int8 is an ONNX graph, whose precision is fixed"),
        (("--device", "cudo"), "did you mean 'cuda'?"),
        (("--device", "cpu:0,1", "--engine", "ray"), "names devices of one machine"),
    ]:
        done = invoke("embed", source, tmp_path / "no.h5", *words)
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and part in done.err, done
    assert not (tmp_path / "no.h5").exists()


def test_help_says_how_an_interrupted_run_continues(invoke: Cosface) -> None:
    for command in ("align", "embed"):
        assert "run the same command again and it continues" in " ".join(invoke(command, "--help").out.split())
