"""cosface index cluster, label, people and identify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import ClusterConfig, IdentifyConfig, IdentifyReport
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, Outcome, Rejected

CLUSTER = ClusterConfig(index=Path())
IDENTIFY = IdentifyConfig(index=Path(), probes=())
IDENTIFY_COLUMNS = ("probe", "probe_face", "match", "cos", "threshold", "candidate", "source")
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
        raise CosfaceError("--hard says what kind of links", hint="give their folder with --links")
    if evaluate and (links is not None or page is not None):
        raise CosfaceError("--evaluate writes nothing", hint="leave --links and --html out, or --evaluate")
    if evaluate:
        with following("cluster", options.Output.table, quiet) as emit:
            report = run(config, emit)
        rows = Rows(output)
        rows.write(asdict(report))
        rows.close()
        return EXIT_DONE if report.faces else EXIT_NO
    with following("cluster", output, quiet, CLUSTER_COLUMNS) as emit:
        report = run(config, emit)
    words = f"{report.faces} faces: {report.clusters} groups ({report.fresh} new), {report.single} faces in none"
    say(f"{words}, {report.doubtful} doubtful; merged from a mean cosine of {report.min_cos:.3f}", quiet)
    return emit.exit_code


def identify(
    index: Index,
    probes: Annotated[
        list[str], typer.Argument(metavar="PROBE...", help="Photos, crops, folders, stores, or - for paths on stdin.")
    ],
    fpir: Annotated[
        float, typer.Option("--fpir", help="Share of searches by strangers that may be answered with a name.")
    ] = IDENTIFY.fpir,
    min_cos: Annotated[
        float | None,
        typer.Option("--min-cos", min=-1, max=1, help="Least cosine of an answer, in place of --fpir."),
    ] = IDENTIFY.min_cos,
    strangers: Annotated[
        list[Path] | None,
        typer.Option("--strangers", help="Stores of people not in INDEX to set it on; else its own, each left out."),
    ] = None,
    pool: Annotated[
        str, typer.Option("--pool", help="Several photos of a person: mean, max or quality (mean by detector score).")
    ] = IDENTIFY.pool,
    together: Annotated[
        bool, typer.Option("--together", help="All probes show one person; with --evaluate: those of a folder.")
    ] = IDENTIFY.together,
    k: Annotated[int, typer.Option("-k", min=1, help="How many candidates to print.")] = IDENTIFY.k,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Measure FPIR, FNIR, CMC and DIR: the probes' folders say who they are.")
    ] = IDENTIFY.evaluate,
    model: Annotated[
        str | None, typer.Option("--model", help="What embeds photos, where the index's model is not embedded.")
    ] = IDENTIFY.model,
    detector: options.DetectorName = IDENTIFY.detector,
    faces: options.Faces = IDENTIFY.faces,
    min_face: options.MinFace = IDENTIFY.min_face,
    workers: options.Workers = IDENTIFY.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say who is on photos, and for strangers that nobody is."""
    from cosface_cli.index.people.identify import identify as run

    config = IdentifyConfig(
        index=index,
        probes=tuple(probes),
        fpir=fpir,
        min_cos=min_cos,
        strangers=tuple(strangers or ()),
        pool=pool,
        together=together,
        k=k,
        evaluate=evaluate,
        model=model,
        detector=detector,
        faces=faces,
        min_face=min_face,
        workers=workers,
    )
    if min_cos is not None and (strangers or fpir != IDENTIFY.fpir):
        raise CosfaceError(
            "--min-cos is the threshold, --fpir and --strangers would set it", hint="leave one of them out"
        )
    if evaluate and k != IDENTIFY.k:
        raise CosfaceError("--evaluate prints no candidates", hint="leave -k out")
    shown = options.Output.table if evaluate else output
    with following("identify", shown, quiet, IDENTIFY_COLUMNS, _no_row if evaluate else _reject_row) as emit:
        report = run(config, emit)
    if isinstance(report, IdentifyReport):
        if report.searches:
            share = f", set on {report.set_on} searches by strangers" if report.set_on else ""
            words = f"{report.known} of {report.searches} known, of {report.people} people"
            say(f"{words}; a name from a cosine of {report.threshold:.4f}{share}", quiet)
        return EXIT_NO if emit.exit_code == EXIT_DONE and not report.known else emit.exit_code
    rows = Rows(output)
    rows.write(asdict(report))
    rows.close()
    return emit.exit_code


def _no_row(outcome: Outcome) -> None:
    return None


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("probe_face", "match", "candidate", "cos", "threshold", "source", "face", "candidates"))
    return {"probe": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}


people = typer.Typer(help="The persons of an index: list, rename, merge, split, export, import.", rich_markup_mode=None)

Who = Annotated[str, typer.Argument(metavar="WHO", help="An id that cluster printed, or a name.")]
PERSON_COLUMNS = ("cluster", "name", "held", "faces")


def label(
    index: Index,
    who: Annotated[str, typer.Argument(metavar="CLUSTER", help="An id that cluster printed, or a name.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What this person is called.")],
    output: options.Format = None,
) -> int:
    """Name a group of faces; from then on it stays together."""
    from cosface_cli.index.people import names

    return _print(output, [names.output(names.label(index, who, name))])


@people.command("list")
def list_people(index: Index, output: options.Format = None) -> int:
    """Print the persons of INDEX."""
    from cosface_cli.index.people import names

    return _print(output, names.listed(index))


@people.command("rename")
def rename(
    index: Index,
    who: Who,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    output: options.Format = None,
) -> int:
    """Give a person another name."""
    return label(index, who, name, output)


@people.command("merge")
def merge(
    index: Index,
    who: Who,
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Who is the same person, by id or name.")],
    output: options.Format = None,
) -> int:
    """Make one person of several; the first one's id and name stay."""
    from cosface_cli.index.people import names

    return _print(output, [names.output(names.merge(index, who, others))])


@people.command("split")
def split(
    index: Index,
    who: Who,
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Photos as cluster prints them; a.jpg#2: its second face.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="What the new person is called.")] = None,
    output: options.Format = None,
) -> int:
    """Take photos out of a person and make a new one of them."""
    from cosface_cli.index.people import names

    return _print(output, [names.output(person) for person in names.split(index, who, sources, name)])


@people.command("export")
def export(
    index: Index,
    table: Annotated[Path, typer.Argument(metavar="CSV", help="The file to write.")],
    quiet: options.Quiet = False,
) -> int:
    """Write who is whom to a CSV file, a line a face."""
    from cosface_cli.index.people.names_csv import export_names

    count = export_names(index, table)
    say(f"{table}: {count} faces", quiet)
    return EXIT_DONE if count else EXIT_NO


@people.command("import")
def import_table(
    index: Index,
    table: Annotated[Path, typer.Argument(metavar="CSV", help="Columns name, and source or hash and face.")],
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Name faces by a CSV file; prints the persons that changed."""
    from cosface_cli.index.people import names
    from cosface_cli.index.people.names_csv import import_names

    with following("import", options.Output.table, quiet) as emit:
        changed = import_names(index, table, emit)
    _print(output, [names.output(person) for person in changed])
    return emit.exit_code


def _print(output: Any, found: Sequence[Mapping[str, Any]]) -> int:
    rows = Rows(output, PERSON_COLUMNS)
    for row in found:
        rows.write(row)
    rows.close()
    return EXIT_DONE if found else EXIT_NO
