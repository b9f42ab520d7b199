"""Training on a toy folder: it learns, it says what it does, and it goes on where it stopped."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics, read_record
from cosface_cli.artifacts.run.weights import read_header, read_tensors, tensors_id
from cosface_cli.backbones.build_backbone import load
from cosface_cli.backbones.inputs import network_input
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.errors import BusyError, CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.outcomes import Done, Progress, Skipped, Tally
from cosface_cli.train import TrainConfig
from cosface_cli.train.setup.device import deterministic
from cosface_cli.train.stage import train
from cosface_cli.train.step.learner import Learner
from tests.train.conftest import Heard, MakeCrops, contents, stop_after


@pytest.fixture
def config(make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str) -> TrainConfig:
    return TrainConfig(
        aligned=make_crops(),
        template="arcface",
        out=tmp_path / "run",
        recipe=plain,
        backbone=tiny,
        epochs=2,
        batch=4,
        threads=1,
        device="cpu",
        report=False,
    )


def changed(config: TrainConfig, **values: object) -> TrainConfig:
    return replace(config, **values)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [name for name in LOSSES.names if name != "triplet"])
def test_it_learns(config: TrainConfig, heard: Heard, loss: str):
    report = train(changed(config, loss=loss, epochs=12), heard)
    rows = read_metrics(config.out / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == list(range(13))
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert rows[-1]["accuracy"] > 0.9 > rows[0]["accuracy"]
    assert rows[-1]["target_cosine"] > 0.3 > rows[0]["target_cosine"]
    assert report.last == rows[-1]
    told = [{k: v for k, v in row.items() if k not in ("images_per_second", "wait")} for row in heard.rows]
    assert told == rows[1:]
    moved = [o for o in heard.outcomes if isinstance(o, Progress)]
    assert {o.total for o in moved} == {moved[-1].total} and moved[-1].done <= moved[-1].total


def test_without_a_classifier_there_is_no_accuracy(config: TrainConfig, heard: Heard):
    report = train(changed(config, loss="triplet", batch=16), heard)
    assert report.last["accuracy"] is None and report.last["target_cosine"] is None
    assert report.last["loss"] > 0
    assert read_tensors(config.out / "head.safetensors") == {}


def test_the_first_loss_is_that_of_right_angles(config: TrainConfig):
    """With D = 8192 and s = 8 the cosines of an untrained network scatter too little to matter."""
    train(changed(config, embedding_size=8192, s=8.0, epochs=1))
    first = read_metrics(config.out / "metrics.jsonl")[0]
    assert first["loss"] == pytest.approx(math.log(3) + 8 * 0.35, abs=0.15)
    assert abs(first["target_cosine"]) < 0.1


def test_the_run_folder(config: TrainConfig):
    report = train(changed(config, report=True))
    events = ["events.out.tfevents.0.cosface"] if find_spec("tensorboard") else []
    assert sorted(contents(config.out)) == [
        *events,
        "head.safetensors",
        "metrics.jsonl",
        "model.onnx",
        "noise.jsonl",
        "report.html",
        "run.json",
        "state/training.safetensors",
        "weights.safetensors",
    ]
    header = read_header(report.weights)
    tensors = read_tensors(report.weights)
    assert header.model_id == report.model_id == tensors_id(tensors)
    assert (header.backbone, header.embedding_size, header.template) == ("tiny", 32, "arcface")
    assert (header.color_order, header.mean, header.std, header.flip) == ("RGB", (127.5,) * 3, (128.0,) * 3, "none")
    assert header.loss == {"name": "cosface", "s": 64.0, "m": 0.35}
    assert header.identities == report.identities == 4
    assert header.data["crops"] == report.images == 16
    assert header.threshold is None
    assert read_tensors(config.out / "head.safetensors")["weight"].shape == (4, 32)

    record = read_record(config.out / "run.json")
    assert record is not None and record.finished
    assert record.identities == ("p0", "p1", "p2", "p3")
    assert record.model_id == report.model_id
    assert record.machine["threads"] == 1
    assert record.data["fingerprint"] == header.data["fingerprint"]

    # the weights and their header alone give the network that the ONNX file holds
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    x = network_input(crops, header.mean, header.std)
    session = onnxruntime.InferenceSession(config.out / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = load(header.backbone, header.embedding_size, tensors)(torch.from_numpy(x)).numpy()
    assert np.abs(session.run(["embedding"], {"crops": x})[0] - expected).max() < 1e-4
    alone = open_embedder(str(config.out / "model.onnx"))  # fed by its own notes
    assert alone.template == header.template and np.abs(alone.embed(crops) - expected).max() < 1e-4


def test_the_same_seed_gives_the_same_files(config: TrainConfig, tmp_path: Path):
    train(config)
    torch.manual_seed(99)
    train(changed(config, out=tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(config.out)
    assert train(changed(config, out=tmp_path / "other", seed=1)).model_id != train(config).model_id


def test_torch_is_left_as_it_was(config: TrainConfig):
    torch.manual_seed(4)
    random, deterministic = torch.random.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    train(changed(config, threads=2, epochs=1))
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.equal(torch.random.get_rng_state(), random)


def test_a_finished_run_is_left_alone(config: TrainConfig, heard: Heard):
    first = train(config)
    before = contents(config.out)
    again = train(config, heard)
    assert again.model_id == first.model_id
    assert again.last == first.last
    assert contents(config.out) == before
    assert "finished" in heard.notes
    assert any(isinstance(outcome, Skipped) for outcome in heard.outcomes)
    tally = Tally()
    for outcome in heard.outcomes:
        tally.add(outcome)
    assert tally.exit_code == 0


def test_more_epochs_on_request_are_as_if_never_stopped(config: TrainConfig, tmp_path: Path, heard: Heard):
    """Two and then two more: the same rates, the same files to the bit, as four at once."""
    stepped = changed(config, milestones=(1, 3))
    train(stepped)
    with pytest.raises(CosfaceError, match=r"other epochs .2, asked for 4.; add --resume"):
        train(changed(stepped, epochs=4))
    report = train(changed(stepped, epochs=4, resume=True), heard)
    assert "resuming after step 8, in epoch 3" in heard.notes
    assert report.resumed_from == 8
    straight = changed(stepped, epochs=4, out=tmp_path / "straight")
    train(straight)
    rows = read_metrics(straight.out / "metrics.jsonl")
    assert [row["lr"] for row in rows[1:]] == pytest.approx([0.1, 0.01, 0.01, 0.001])
    assert contents(config.out) == contents(straight.out)


def test_a_cosine_that_is_drawn_out_is_said(config: TrainConfig, heard: Heard):
    train(config)
    train(changed(config, epochs=3, resume=True), heard)
    assert "follows the new plan of 3 epochs" in heard.notes
    with pytest.raises(CosfaceError, match="12 steps, 3 epochs, are already done"):
        train(changed(config, epochs=1, resume=True))


def test_a_recipe_s_milestones_move_with_a_length_that_is_gone_on_to(config: TrainConfig, tmp_path: Path, heard: Heard):
    recipe = tmp_path / "stepped.toml"
    recipe.write_text("epochs = 20\nmilestones = [10]\nwarmup = 0\n")
    stepped = changed(config, recipe=str(recipe))
    train(stepped)
    with pytest.raises(CosfaceError, match="add --resume"):
        train(changed(stepped, epochs=4))
    train(changed(stepped, epochs=4, resume=True), heard)
    assert "follows the new plan of 4 epochs" in heard.notes
    rows = read_metrics(config.out / "metrics.jsonl")
    assert [row["lr"] for row in rows[1:]] == pytest.approx([0.1, 0.01, 0.01, 0.01])
    with pytest.raises(CosfaceError, match=r"this folder has another run .milestones: 2, asked for 1"):
        train(changed(stepped, epochs=4, milestones=(1,)))


def test_a_finished_run_without_its_state_is_not_begun_anew(config: TrainConfig):
    train(config)
    RunFolder(config.out).state.unlink()
    before = contents(config.out)
    with pytest.raises(CosfaceError, match="the state to resume from is missing"):
        train(changed(config, epochs=3, resume=True))
    assert contents(config.out) == before


@pytest.mark.parametrize(
    ("asked", "words"),
    (
        ({"m": 0.2}, "this folder has another run (s, m and the loss's options: m 0.35 s 64, asked for m 0.2 s 64)"),
        ({"seed": 7, "lr": 0.05}, "(lr: 0.1, asked for 0.05; seed: 0, asked for 7)"),
        ({"seed": 7, "resume": True}, "seed: 0, asked for 7"),
    ),
)
def test_another_run_s_folder_is_refused(config: TrainConfig, asked: dict[str, object], words: str):
    train(config)
    before = contents(config.out)
    with pytest.raises(CosfaceError) as caught:
        train(changed(config, **asked))
    assert words in str(caught.value)
    assert "choose another --out" in str(caught.value)
    assert contents(config.out) == before


def test_other_crops_are_refused(config: TrainConfig, make_crops: MakeCrops):
    train(config)
    with pytest.raises(CosfaceError, match=r"this run was on other crops \(16 of .*aligned, asked for 15 of .*more\)"):
        train(changed(config, aligned=make_crops("more", people=5, images=3)))


def test_the_same_crops_elsewhere_are_the_same(config: TrainConfig, make_crops: MakeCrops, heard: Heard):
    train(config)
    train(changed(config, aligned=make_crops("copy")), heard)
    assert "finished" in heard.notes


def test_a_folder_of_other_things_is_refused(config: TrainConfig):
    config.out.mkdir()
    (config.out / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(CosfaceError, match="this folder has other files; choose another --out"):
        train(config)
    assert sorted(contents(config.out)) == ["holiday.jpg"]


def test_nothing_to_resume_is_said(config: TrainConfig):
    with pytest.raises(CosfaceError, match="no run to continue"):
        train(changed(config, resume=True))
    assert not config.out.exists()


def test_one_writer_at_a_time(config: TrainConfig):
    with atomic.lock(config.out.absolute()), pytest.raises(BusyError):
        train(config)


@pytest.mark.slow
@pytest.mark.parametrize("steps", (0, 1, 3, 4, 6))
def test_interrupted_anywhere_it_ends_the_same(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heard: Heard, steps: int
):
    """Four steps an epoch; the state is saved after each."""
    config = changed(config, save_seconds=0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, steps)
        train(config)
    report = train(config, heard)
    assert report.resumed_from == (steps or None)
    straight = changed(config, out=tmp_path / "straight")
    train(straight)
    assert contents(config.out) == contents(straight.out)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ("sphereface", "center", "adaface", "curricularface", "elasticface", "triplet"))
def test_a_loss_that_remembers_goes_on_as_if_never_interrupted(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loss: str
):
    config = changed(config, loss=loss, save_seconds=0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 3)
        train(config)
    train(config)
    straight = changed(config, out=tmp_path / "straight")
    train(straight)
    assert contents(config.out) == contents(straight.out)


def test_lines_that_the_state_does_not_know_are_written_anew(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Killed between metrics and state, and the last line torn."""
    config = changed(config, save_seconds=0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 6)
        train(config)
    metrics = config.out / "metrics.jsonl"
    with metrics.open("a") as handle:
        handle.write(json.dumps({"epoch": 2, "loss": 99.0}) + '\n{"epoch": 3, "lo')
    train(config)
    straight = changed(config, out=tmp_path / "straight")
    train(straight)
    assert contents(config.out) == contents(straight.out)


def test_a_lost_file_of_a_finished_run_is_written_again(config: TrainConfig):
    train(config)
    before = contents(config.out)
    (config.out / "model.onnx").unlink()
    train(config)
    assert contents(config.out) == before


def test_lost_metrics_are_not_made_up(config: TrainConfig):
    train(config)
    (config.out / "metrics.jsonl").unlink()
    train(changed(config, epochs=3, resume=True))
    assert [row["epoch"] for row in read_metrics(config.out / "metrics.jsonl")] == [3]


def test_a_state_without_its_record_is_not_taken_up(config: TrainConfig, heard: Heard):
    train(config)
    expected = contents(config.out)
    for name in expected:
        if not name.startswith("state"):
            (config.out / name).unlink()
    assert train(config, heard).resumed_from is None
    assert contents(config.out) == expected


def test_a_damaged_state_is_named(config: TrainConfig):
    train(config)
    RunFolder(config.out).state.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(CosfaceError, match=r"training\.safetensors"):
        train(changed(config, epochs=3, resume=True))


def assert_finite(path: Path) -> None:
    assert all(np.isfinite(tensor).all() for tensor in read_tensors(path).values())


def test_it_stops_at_the_first_step_that_is_no_number(config: TrainConfig):
    """A rate of a million: weight decay alone multiplies every weight by -500 a step."""
    first = changed(config, lr=1e6, epochs=40, save_seconds=0.0)
    with pytest.raises(CosfaceError) as caught:
        train(first)
    words = str(caught.value)
    assert "stopped after step" in words and "lr " in words and ".png" in words and "lower --lr" in words
    facts = json.loads((config.out / "stopped.json").read_text())
    assert len(facts["crops"]) == 4
    assert facts["steps_done"] > 0
    record = read_record(config.out / "run.json")
    assert record is not None and not record.finished
    rows = read_metrics(config.out / "metrics.jsonl")
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert_finite(RunFolder(config.out).state)
    if facts["epoch"] > 1:
        assert_finite(config.out / "weights.safetensors")
        assert f"the weights of epoch {facts['epoch'] - 1} are kept" in words


def test_a_gradient_that_is_no_number_changes_nothing(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    train(config)
    before = contents(config.out)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "clip_gradient", lambda learner, max_norm: torch.tensor(math.nan))
        with pytest.raises(CosfaceError, match=r"step 8 in epoch 3.*gradient nan.*the weights of epoch 2 are kept"):
            train(changed(config, epochs=3, resume=True))
    after = contents(config.out)
    for name in ("weights.safetensors", "state/training.safetensors", "metrics.jsonl"):
        assert after[name] == before[name]
    assert "stopped.json" in after
    train(changed(config, epochs=3))  # goes on, and what stopped it is past
    assert "stopped.json" not in contents(config.out)


def test_batch_norm_with_nine_crops_and_batches_of_four(config: TrainConfig, make_crops: MakeCrops, heard: Heard):
    nine = make_crops("nine", people=3, images=3)
    train(changed(config, aligned=nine), heard)
    assert "each epoch leaves out 1 crops" in heard.notes
    assert heard.rows[-1]["step"] == 4


@pytest.mark.slow
def test_two_people_three_hundred_steps(config: TrainConfig, make_crops: MakeCrops):
    two = make_crops("two", people=2, images=40)
    report = train(changed(config, aligned=two, epochs=15))
    assert report.last["step"] == 300
    assert report.last["loss"] < 0.1
    assert report.last["accuracy"] == 1.0


def test_the_device_is_said_or_refused(config: TrainConfig, heard: Heard):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is a GPU here")
    train(changed(config, device="auto", epochs=1), heard)
    assert "training on the CPU" in heard.notes
    with pytest.raises(CosfaceError, match="torch finds no device 'cuda' on this machine; --device auto"):
        train(changed(config, device="cuda"))
    with pytest.raises(CosfaceError, match="--device 'cuds' is not known; did you mean 'cuda'"):
        changed(config, device="cuds")


def test_other_threads_are_said(config: TrainConfig, heard: Heard):
    train(config)
    train(changed(config, threads=2, epochs=3, resume=True), heard)
    assert "warning: the run began on another machine (threads 1, now 2)" in heard.notes


def test_a_done_for_each_epoch(config: TrainConfig, heard: Heard):
    train(config, heard)
    assert [o.source for o in heard.outcomes if isinstance(o, Done)] == ["epoch 1", "epoch 2"]
    assert all(row["images_per_second"] > 0 for row in heard.rows)


def test_memory_is_not_filled_and_the_setting_is_put_back():
    memory = torch.utils.deterministic
    assert memory.fill_uninitialized_memory  # torch's default
    with deterministic(torch.device("cpu"), 1):
        assert torch.are_deterministic_algorithms_enabled() and not memory.fill_uninitialized_memory
    assert memory.fill_uninitialized_memory
