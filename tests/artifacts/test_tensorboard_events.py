"""TensorBoard's event file, read by TensorBoard."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from cosface_cli.artifacts.run import tensorboard_events
from cosface_cli.artifacts.run.tensorboard_events import write_events
from cosface_cli.errors import CosfaceError

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the package tensorboard")
ROWS = [
    {"epoch": 0, "step": 0, "loss": 27.5, "lr": 1e-4, "accuracy": None, "validation_accuracy": 0.5},
    {"epoch": 1, "step": 300, "loss": -0.1, "lr": 0.1, "accuracy": 0.25, "validation_accuracy": 0.75},
    {"epoch": 2, "step": 5_000_000_000, "loss": 3.0, "lr": 0.01, "accuracy": True, "validation_accuracy": None},
]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_reads_every_number(tmp_path: Path) -> None:
    write_events(tmp_path / "events.out.tfevents.0.cosface", ROWS)
    found = scalars(tmp_path)
    assert set(found) == {"epoch", "loss", "lr", "accuracy", "validation_accuracy"}
    assert found["loss"] == [(0, 27.5), (300, pytest.approx(-0.1)), (5_000_000_000, 3.0)]
    assert found["accuracy"] == [(300, 0.25)], "None and True are no numbers"
    assert [step for step, _ in found["validation_accuracy"]] == [0, 300]


@needs_tensorboard
def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_events(tmp_path / "one", ROWS)
    write_events(tmp_path / "other", ROWS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_nothing_is_written_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard_events, "find_spec", lambda name: None)
    write_events(tmp_path / "e", ROWS)
    assert not (tmp_path / "e").exists()


def test_a_tensorboard_that_watches_goes_on(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    path = tmp_path / "events.out.tfevents.0.cosface"
    write_events(path, ROWS[:1])
    watching = reader.EventFileLoader(str(path))
    assert len(list(watching.Load())) == 2  # the version, and one row
    write_events(path, ROWS[:2])
    assert [event.step for event in watching.Load()] == [300]
    write_events(path, ROWS)
    assert [event.step for event in watching.Load()] == [5_000_000_000]


@needs_tensorboard
def test_a_torn_file_is_mended_and_a_longer_one_cut(tmp_path: Path) -> None:
    path = tmp_path / "e"
    write_events(path, ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    write_events(path, ROWS)
    assert path.read_bytes() == whole
    write_events(path, ROWS[:2])
    assert whole.startswith(path.read_bytes()) and len(path.read_bytes()) < len(whole)


@needs_tensorboard
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CosfaceError, match="a file is needed, but this is a folder"):
        write_events(tmp_path, ROWS)
