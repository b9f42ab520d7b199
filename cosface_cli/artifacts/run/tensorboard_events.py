"""TensorBoard's event file: scalars by step. It is written only if the package tensorboard is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from cosface_cli.artifacts.files.atomic import write_errors


def write_events(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write every number of the rows at the row's `step`, under its name. Values that are not numbers are left out.

    The wall time of each event is 0, which torch's SummaryWriter cannot do. So the same rows give the same bytes, and a
    resumed run writes the same file as an uninterrupted one. Unlike all other files it is overwritten in place, because
    a TensorBoard that watches the run has it open; the next epoch repairs an incomplete file.
    """
    if find_spec("tensorboard") is None:
        return
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    events = [Event(file_version="brain.Event:2")]
    for row in rows:
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        events.append(Event(step=row["step"], summary=Summary(value=values)))
    with write_errors(path), path.open("r+b" if path.exists() else "w+b") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        file.truncate()
