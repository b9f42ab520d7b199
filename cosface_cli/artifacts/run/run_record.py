"""The files of a run folder, with run.json and metrics.jsonl.

run.json has the settings, the data and whether the run is finished; metrics.jsonl has one line for each epoch, where
epoch 0 is before training. They contain no times: a run that was killed and resumed writes the same files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.crops.manifest import line, read_lines
from cosface_cli.artifacts.files.atomic import write_text
from cosface_cli.errors import CosfaceError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run."""

    root: Path
    """The folder."""

    @property
    def record(self) -> Path:
        return self.root / "run.json"

    @property
    def weights(self) -> Path:
        return self.root / "weights.safetensors"

    @property
    def last(self) -> Path:
        return self.root / "last.safetensors"

    @property
    def head(self) -> Path:
        return self.root / "head.safetensors"

    @property
    def state(self) -> Path:
        return self.root / "state" / "training.safetensors"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def onnx(self) -> Path:
        return self.root / "model.onnx"

    @property
    def events(self) -> Path:
        return self.root / "events.out.tfevents.0.cosface"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def noise(self) -> Path:
        return self.root / "noise.jsonl"

    @property
    def stopped(self) -> Path:
        return self.root / "stopped.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The content of run.json."""

    settings: Mapping[str, Any]
    """Everything that decides the weights, by name."""
    data: Mapping[str, Any]
    """Fingerprint and counts of the crops."""
    identities: tuple[str, ...]
    """Names, in the order of the class weights."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    """Device, threads and versions."""
    finished: bool = False
    """Whether the training is complete."""
    model_id: str | None = None
    """Hash of the final weights."""
    best_epoch: int | None = None
    """The epoch of the saved weights; None for the last one."""
    schema: int = SCHEMA
    """Version of the format."""


def write_record(path: Path, record: RunRecord) -> None:
    """Write run.json, whole or not at all. Bytes of names that are not UTF-8 become escapes that decode to the same
    name."""
    write_text(path, json.dumps(asdict(record), indent=1, ensure_ascii=True) + "\n")


def read_record(path: Path) -> RunRecord | None:
    """The content of run.json; None if the file is missing. Raises CosfaceError for damage or a newer schema."""
    try:
        values = json.loads(path.read_text("utf-8"))
        if int(values["schema"]) > SCHEMA:
            raise CosfaceError("this run was written by a newer cosface", path, "pip install -U cosface")
        record = RunRecord(**{**values, "identities": tuple(values["identities"])})
        if not isinstance(record.settings, dict) or not isinstance(record.data, dict):
            raise TypeError
        return record
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    except (ValueError, KeyError, TypeError):
        raise CosfaceError("not the record of a training run", path, "move the folder away, or name another") from None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; an incomplete last line is dropped. Raises CosfaceError for other damage."""
    return list(read_lines(path))


def write_metrics(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write metrics.jsonl, whole or not at all."""
    write_text(path, "".join(map(line, rows)))
