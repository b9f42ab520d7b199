"""The files of a figure or table: NAME.json, NAME.png and NAME.svg."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.pages.plots import png, svg
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.paper import PaperReport
from cosface_cli.paper.figures.drawing import Draw

SCHEMA = 1


def write_figure(
    stem: Path,
    *,
    source: str,
    rows: Sequence[Mapping[str, object]],
    differs: Sequence[str] = (),
    details: Mapping[str, object],
    size: tuple[float, float],
    draw: Draw,
    emit: OnOutcome,
) -> PaperReport:
    """Write stem.json, stem.png and stem.svg, and emit the differences from the paper.

    source: the figure or table of the paper; rows: as printed; details: further values for the JSON; size: of the
    figure in inches.
    """
    atomic.make_folder(stem.parent)
    json_file, png_file, svg_file = (stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "png", "svg"))
    values = {
        "schema": SCHEMA,
        "name": stem.name,
        "source": f"Wang 2018, arXiv 1801.09414, {source}",
        "rows": list(rows),
        "differs": list(differs),
        **details,
    }
    atomic.write_text(json_file, json.dumps(values, indent=1, ensure_ascii=True, allow_nan=False) + "\n")
    atomic.write_bytes(png_file, png(draw, *size))
    atomic.write_text(svg_file, svg(draw, *size))
    for sentence in differs:
        emit(Note(f"differs from the paper: {sentence}"))
    files = (json_file, png_file, svg_file)
    emit(Note(f"written: {', '.join(map(str, files))}"))
    return PaperReport(name=stem.name, rows=tuple(rows), differs=tuple(differs), files=files)
