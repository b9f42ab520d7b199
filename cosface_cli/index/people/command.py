"""cosface index cluster, label, people and identify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import ClusterConfig

CLUSTER = ClusterConfig(index=Path())
CLUSTER_COLUMNS = ("cluster", "name", "cos", "doubtful", "source")

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="An index folder.")]


def cluster(
    index: Index,
    min_cos: Annotated[
        float | None, typer.Option("--min-cos", help="Mean cosine from which groups are one; default: the model's.")
    ] = CLUSTER.min_cos,
    min_size: Annotated[
        int, typer.Option("--min-size", min=1, help="Faces in a group; smaller ones are nobody's.")
    ] = CLUSTER.min_size,
    links: Annotated[
        Path | None, typer.Option("--links", help="A folder to fill with links to the photos, a sub-folder a person.")
    ] = CLUSTER.links,
    hard: Annotated[bool, typer.Option("--hard", help="With --links: hard links, not symbolic ones.")] = CLUSTER.hard,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="Also write a page to look at every group.")
    ] = CLUSTER.page,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Score the groups against the faces' folders; write nothing.")
    ] = CLUSTER.evaluate,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Group the faces of INDEX by person; persons that you named or corrected stay."""
    from cosface_cli.index.people.cluster import cluster as run

    config = ClusterConfig(index, min_cos, min_size, links, hard, page, evaluate)
    if hard and links is None:
        raise CosfaceError("--hard says what kind of links", mend="give their folder with --links")
    if evaluate and (links is not None or page is not None):
        raise CosfaceError("--evaluate writes nothing", mend="leave --links and --html out, or --evaluate")
    if evaluate:
        with following("cluster", options.Output.table, quiet) as tell:
            report = run(config, tell)
        rows = Rows(output)
        rows.write(asdict(report))
        rows.close()
        return 0 if report.faces else 1
    with following("cluster", output, quiet, CLUSTER_COLUMNS) as tell:
        report = run(config, tell)
    words = f"{report.faces} faces: {report.clusters} groups ({report.fresh} new), {report.single} faces in none"
    say(f"{words}, {report.doubtful} doubtful; merged from a mean cosine of {report.min_cos:.3f}", quiet)
    return tell.exit_code
