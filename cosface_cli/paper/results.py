"""What a figure or table leaves: NAME.json, NAME.png and NAME.svg."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.paper import PaperReport
from cosface_cli.paper.plots import Draw, save

SCHEMA = 1


def write(
    stem: Path,
    source: str,
    rows: Sequence[Mapping[str, Any]],
    differs: Sequence[str],
    more: Mapping[str, Any],
    size: tuple[float, float],
    draw: Draw,
    emit: OnOutcome,
) -> PaperReport:
    """Write stem.json and the figure, and say what differs from the paper.

    source: the figure or table of the paper; rows: as printed; more: what else the JSON holds; size: of the figure in
    inches.
    """
    atomic.make_folder(stem.parent)
    record = stem.with_name(f"{stem.name}.json")
    values = {
        "schema": SCHEMA,
        "name": stem.name,
        "source": f"Wang 2018, arXiv 1801.09414, {source}",
        "rows": list(rows),
        "differs": list(differs),
        **more,
    }
    atomic.write_text(record, json.dumps(values, indent=1, ensure_ascii=True, allow_nan=False) + "\n")
    files = (record, *save(stem, size, draw))
    for sentence in differs:
        emit(Note(f"differs from the paper: {sentence}"))
    emit(Note(f"written: {', '.join(map(str, files))}"))
    return PaperReport(stem.name, tuple(rows), tuple(differs), files)
