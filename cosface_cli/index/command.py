"""cosface index: build a search index from stores, and search it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import options
from cosface_cli.console import Rows, following
from cosface_cli.errors import CosfaceError
from cosface_cli.index import BuildConfig, SearchConfig
from cosface_cli.index.people import command as people
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, Outcome, Rejected

SEARCH = SearchConfig(index=Path(), probes=())
COLUMNS = ("probe", "probe_face", "rank", "cos", "identity", "source")

app = typer.Typer(help="Build a search index from stores, and search it.", rich_markup_mode=None)


@app.command("build")
def build(
    paths: Annotated[list[Path], typer.Argument(metavar="STORE... INDEX", help="Stores, then the index folder.")],
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Build INDEX from one or more stores; an index that is there stands until the new one is whole."""
    from cosface_cli.index.build import build as run

    if len(paths) < 2:
        raise CosfaceError("a store and an index are needed", mend="cosface index build faces.h5 people.index")
    with following("index", options.Output.table, quiet) as tell:
        report = run(BuildConfig(tuple(paths[:-1]), paths[-1]), tell)
    rows = Rows(output)
    rows.write(asdict(report))
    rows.close()
    return tell.exit_code


@app.command("search")
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="An index folder.")],
    probes: Annotated[
        list[str], typer.Argument(metavar="PROBE...", help="Photos, crops, folders, stores, or - for paths on stdin.")
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many of the nearest.")] = SEARCH.k,
    model: Annotated[
        str | None, typer.Option("--model", help="What embeds photos, where the index's model is not embedded.")
    ] = SEARCH.model,
    detector: options.DetectorName = SEARCH.detector,
    faces: options.Faces = SEARCH.faces,
    min_face: options.MinFace = SEARCH.min_face,
    workers: options.Workers = SEARCH.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Print the k nearest faces of INDEX for each probe, best first."""
    from cosface_cli.index.search import search as run

    config = SearchConfig(index, tuple(probes), k, model, detector, faces, min_face, workers)
    with following("search", output, quiet, COLUMNS, _reject_row) as tell:
        report = run(config, tell)
    return EXIT_NO if tell.exit_code == EXIT_DONE and not report.hits else tell.exit_code


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("probe_face", "rank", "cos", "identity", "source", "face", "box"))
    return {"probe": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}


app.command("cluster")(people.cluster)
app.command("label")(people.label)
app.add_typer(people.people, name="people")
