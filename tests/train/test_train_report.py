"""What a run ends with: the page, the audit of labels, TensorBoard's events; the same whatever happened on the way."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from cosface_cli.artifacts.crops.manifest import read_lines
from cosface_cli.artifacts.run.run_record import read_metrics
from cosface_cli.artifacts.run.weights import read_header, read_tensors
from cosface_cli.backbones.build_backbone import load
from cosface_cli.backbones.inputs import network_input
from cosface_cli.outcomes import Done
from cosface_cli.train import TrainConfig
from cosface_cli.train.report import run_page
from cosface_cli.train.stage import train
from tests.browser import rendered
from tests.conftest import Cosface
from tests.train.conftest import Heard, MakeCrops, contents, crop_folder_with_pairs, stop_after

pytestmark = pytest.mark.slow

WRONG = {"p0/9.png": "p1", "p3/9.png": "p2"}  # who is in the crop


@pytest.fixture
def aligned(make_crops: MakeCrops) -> Path:
    """Four people with seven crops each, but two crops filed under somebody else."""
    root = make_crops(images=7)
    for crop, person in WRONG.items():
        shutil.move(root / person / "6.png", root / crop)
    return root


@pytest.fixture
def config(aligned: Path, tmp_path: Path, tiny: str, plain: str) -> TrainConfig:
    return TrainConfig(
        aligned=aligned,
        template="arcface",
        out=tmp_path / "run",
        recipe=plain,
        backbone=tiny,
        epochs=4,
        batch=8,
        lr=0.02,
        threads=1,
        device="cpu",
        save_seconds=0.0,
    )


def test_wrong_labels_are_named(config: TrainConfig, heard: Heard) -> None:
    found = train(config, heard)
    rows = list(read_lines(config.out / "noise.jsonl"))
    assert {row["crop"]: row["nearest"] for row in rows} == WRONG
    assert found.suspects == 2
    assert "2 of 28 crops look mislabelled" in heard.notes and f"report: {config.out / 'report.html'}" in heard.notes
    for row in rows:
        assert row["identity"] == row["crop"].partition("/")[0] != row["nearest"]
        assert -1 <= row["cosine_own"] < row["cosine_nearest"] <= 1
    sure = [row["cosine_nearest"] - row["cosine_own"] for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert train(config).suspects == 2, "a finished run knows it too"


def test_a_browser_shows_it(config: TrainConfig, heard: Heard, tmp_path: Path) -> None:
    train(config, heard)
    text = (config.out / "report.html").read_text()
    without = re.sub(r"http://www\.w3\.org/\d+/\w+", "", text)
    assert not re.findall(r"https?:|@import|<link|<script|<img[^>]* src=\"(?!data:)", without)
    moved = tmp_path / "elsewhere.html"
    shutil.copy(config.out / "report.html", moved)
    document = rendered(moved, profile=tmp_path / "profile")
    assert "<title>Training: cosface on tiny, m 0.35, s 64</title>" in document
    assert document.count('<svg role="img"') == 4
    for words in ("Loss, by step: from", "Learning rate, by step", "Accuracy, crops", "crops trained on, before: one"):
        assert f'aria-label="{words}' in document or words in document, words
    audit = document.partition('id="audit"')[2]
    assert audit.count('src="data:image/webp') == 6
    assert re.findall(r"<h3>(\w+) <span class=\"soft\">(\d of \d)<", audit) == [("p0", "1 of 8"), ("p3", "1 of 8")]
    rows = read_metrics(config.out / "metrics.jsonl")
    for row in rows:
        assert f"<td>{row['loss']:.5g}</td>" in document


def test_the_same_page_wherever_it_was_stopped(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    straight = replace(config, out=tmp_path / "straight")
    train(straight)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 5)
        train(config)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # while the page is made

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(run_page, "audit", interrupted)
        train(config)
    assert not (config.out / "report.html").exists()
    train(config)
    assert contents(config.out) == contents(straight.out)


def test_without_a_report_and_then_with_one(config: TrainConfig, tmp_path: Path, heard: Heard) -> None:
    bare = train(replace(config, report=False))
    assert bare.suspects is None
    assert not (config.out / "report.html").exists() and not (config.out / "noise.jsonl").exists()
    with_one = train(config, heard)
    assert with_one.suspects == 2 and with_one.model_id == bare.model_id
    assert not [outcome for outcome in heard.outcomes if isinstance(outcome, Done)], "nothing is trained again"
    straight = replace(config, out=tmp_path / "straight")
    train(straight)
    assert contents(config.out) == contents(straight.out)
    train(replace(config, epochs=5, resume=True, report=False))
    assert not (config.out / "report.html").exists(), "it was of other weights"


def test_pairs_and_people_held_out_have_their_angles(
    tiny: str, plain: str, tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSFACE_CACHE", str(tmp_path / "cache"))
    root, pairs = crop_folder_with_pairs(tmp_path)
    train(
        TrainConfig(
            aligned=root,
            out=tmp_path / "run",
            recipe=plain,
            backbone=tiny,
            epochs=2,
            batch=4,
            threads=1,
            device="cpu",
            validate=pairs,
            validate_root=root,
            hold_out=0.5,
        ),
        heard,
    )
    text = (tmp_path / "run" / "report.html").read_text()
    for kind in ("crops trained on", "people held out", "validation pairs"):
        assert f"<td>{kind}</td><td>before</td>" in text and f"<td>{kind}</td><td>after</td>" in text
    assert "<dt>validation accuracy</dt>" in text and "<dt>held out</dt>" in text
    # eight genuine and eight impostor pairs of the list
    row = text.partition("<td>validation pairs</td><td>after</td>")[2].partition("</tr>")[0]
    assert re.findall(r"<td>(\d+)</td>", row) == ["8", "8"]


def test_names_never_become_markup(make_crops: MakeCrops, config: TrainConfig) -> None:
    root = make_crops("names", images=6)
    attack = "<img src=x onerror=document.title='gone'>"
    (root / "p0").rename(root / attack)
    shutil.copy(root / "p1" / "5.png", root / attack / "</td><script>1<script>.png".replace("/", "∕"))
    shutil.copy(root / "p1" / "4.png", root / attack / "bytes\udcff.png")
    train(replace(config, aligned=root))
    text = (config.out / "report.html").read_text("utf-8")
    assert attack not in text and "<script" not in text
    assert "&lt;img src=x" in text and r"bytes\udcff.png" in text


def test_a_single_crop_each_is_no_error(make_crops: MakeCrops, config: TrainConfig) -> None:
    """No pair of one person, nothing to judge."""
    found = train(replace(config, aligned=make_crops("single", people=8, images=1), epochs=1))
    assert found.suspects == 0
    text = (config.out / "report.html").read_text()
    assert "Angles between" not in text and "0 of 0 crops" in text


def test_tensorboard_has_the_rows(config: TrainConfig) -> None:
    train(replace(config, report=False))
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(config.out))
    found.Reload()
    rows = read_metrics(config.out / "metrics.jsonl")
    assert len(rows) == 5
    for name in ("loss", "lr", "accuracy", "target_cosine"):
        assert [event.step for event in found.Scalars(name)] == [row["step"] for row in rows]
        assert [event.value for event in found.Scalars(name)] == pytest.approx([row[name] for row in rows], rel=1e-6)


@pytest.mark.parametrize("way", ({"precision": "bf16", "ema": 0.9}, {"precision": "fp16", "accumulate": 2}))
def test_onnx_is_the_kept_weights_in_any_precision(config: TrainConfig, way: dict[str, object]) -> None:
    train(replace(config, report=False, **way))
    header, tensors = read_header(config.out / "weights.safetensors"), read_tensors(config.out / "weights.safetensors")
    assert {tensor.dtype.str for tensor in tensors.values()} <= {"<f4", "<i8"}
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3)).astype(np.uint8)
    x = network_input(crops, header.mean, header.std)
    session = onnxruntime.InferenceSession(config.out / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = load(header.backbone, header.embedding_size, tensors)(torch.from_numpy(x)).numpy()
    assert np.abs(expected).max() > 0.01
    assert np.abs(session.run(["embedding"], {"crops": x})[0] - expected).max() < 1e-4


def test_the_weights_alone_are_enough(cosface: Cosface, invoke: Cosface, make_crops: MakeCrops, tmp_path: Path) -> None:
    """One file, elsewhere, under another name, the run folder gone: embed finds all it needs in it."""
    crops = make_crops(people=2, images=3)
    words = ("--template", "arcface", "--epochs", "1", "--batch", "4", "--device", "cpu", "--threads", "1")
    done = invoke("train", crops, "--out", tmp_path / "run", *words)
    assert done.code == 0, done
    (tmp_path / "other").mkdir()
    alone = shutil.move(tmp_path / "run" / "weights.safetensors", tmp_path / "other" / "mine.safetensors")
    model_id = read_header(Path(alone)).model_id
    shutil.rmtree(tmp_path / "run")
    done = cosface("embed", crops, tmp_path / "faces.h5", "--template", "arcface", "--model", alone)
    assert done.code == 0, done
    import h5py

    with h5py.File(tmp_path / "faces.h5") as store:
        assert store["embeddings"].shape == (6, 256)
        assert store.attrs["model_id"].decode() == model_id
        assert np.allclose(np.linalg.norm(store["embeddings"][:], axis=1), 1, atol=1e-5)
