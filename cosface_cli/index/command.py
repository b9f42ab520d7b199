"""cosface index: build a search index from stores, and search it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.index import BuildConfig, BuildReport, SearchConfig
from cosface_cli.index.people import command as people
from cosface_cli.index.upkeep import command as upkeep
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome, Rejected

BUILD = BuildConfig(stores=(), index=Path())
SEARCH = SearchConfig(index=Path(), probes=())
COLUMNS = ("probe", "probe_face", "rank", "cos", "identity", "source")

Stores = Annotated[list[Path], typer.Argument(metavar="STORE... INDEX", help="Stores, then the index folder.")]
Index = Annotated[Path, typer.Argument(metavar="INDEX", help="An index folder.")]
Recall = Annotated[float, typer.Option("--recall", help="What sq8 and pq are tuned for, by measuring.")]

app = typer.Typer(help="Build a search index from stores, search it, and look after it.", rich_markup_mode=None)


@app.command("build")
def build(
    paths: Stores,
    engine: Annotated[str, typer.Option("--engine", help="faiss, or milvus for a server.")] = BUILD.engine,
    uri: Annotated[str | None, typer.Option("--uri", help="Of the Milvus server: http://HOST:19530.")] = BUILD.uri,
    search: Annotated[
        str, typer.Option("--search", help="flat (exact), sq8 or pq (approximate); auto: by the number of rows.")
    ] = BUILD.search,
    recall: Recall = BUILD.recall,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Write all anew, also in the place of another model's index.")
    ] = BUILD.fresh,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Make INDEX hold the rows of the stores: only what is new or changed is read, what they hold no more goes.

    An index that is there stands until the new one is whole.
    """
    config = BuildConfig(*_split(paths), fresh=fresh, engine=engine, uri=uri, search=search, recall=recall)
    return _build(config, output, quiet)


@app.command("add")
def add(
    paths: Stores,
    search: Annotated[str, typer.Option("--search", help="Of what is written: flat, sq8, pq or auto.")] = BUILD.search,
    recall: Recall = BUILD.recall,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Add the rows of the stores to INDEX, and keep what it holds; what is there already is not added again."""
    config = BuildConfig(*_split(paths), add=True, search=search, recall=recall)
    return _build(config, output, quiet)


@app.command("search")
def search(
    index: Index,
    probes: Annotated[
        list[str], typer.Argument(metavar="PROBE...", help="Photos, crops, folders, stores, or - for paths on stdin.")
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many of the nearest.")] = SEARCH.k,
    by: Annotated[str, typer.Option("--by", help="face, or identity: the best face of each of k people.")] = SEARCH.by,
    min_cos: Annotated[
        float | None, typer.Option("--min-cos", min=-1, max=1, help="Leave hits below this cosine out.")
    ] = SEARCH.min_cos,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="identity=NAME or source=NAME, with * and ?; repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only photos changed since this date or time (ISO 8601).")
    ] = SEARCH.since,
    exact: Annotated[
        bool, typer.Option("--exact", help="Look at every row, also where lists were made.")
    ] = SEARCH.exact,
    model: Annotated[
        str | None, typer.Option("--model", help="What embeds photos, where the index's model is not embedded.")
    ] = SEARCH.model,
    detector: options.DetectorName = SEARCH.detector,
    faces: options.Faces = SEARCH.faces,
    min_face: options.MinFace = SEARCH.min_face,
    min_score: options.MinScore = SEARCH.min_score,
    workers: options.Workers = SEARCH.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Print the k nearest faces of INDEX for each probe, best first.

    With - each path is answered as soon as it was read: one process serves a pipe, line by line.
    """
    from cosface_cli.index.search import search as run

    config = SearchConfig(
        index=index,
        probes=tuple(probes),
        k=k,
        by=by,
        min_cos=min_cos,
        filters=tuple(filters or ()),
        since=since,
        exact=exact,
        model=model,
        detector=detector,
        faces=faces,
        min_face=min_face,
        min_score=min_score,
        workers=workers,
    )
    with following("search", output, quiet, COLUMNS, _reject_row) as emit:
        report = run(config, emit)
    return EXIT_NO if emit.exit_code == EXIT_DONE and not report.hits else emit.exit_code


@app.command("forget")
def forget(
    index: Index,
    identity: Annotated[
        str | None, typer.Option("--identity", help="A person: first folder level, or a name given here.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="A photo or crop, as rows name it or as a path.")
    ] = None,
    stores: Annotated[
        list[Path] | None, typer.Option("--store", help="Another store that may hold the person; repeatable.")
    ] = None,
    crops: Annotated[
        list[Path] | None, typer.Option("--crops", help="Another crop folder that may; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, only say what would go.")] = False,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Take a person, or a photo, out of INDEX, its stores and its crop folders, and show that nothing is left.

    Every file of ours is searched for the bytes of the embeddings, crops and names; a receipt (hashes only) says what
    went, and keeps it from coming back. Stopped in the midst, the same command ends it.
    """
    from cosface_cli.index.forget import ForgetConfig
    from cosface_cli.index.forget.stage import forget as run

    config = ForgetConfig(index, identity, source, tuple(stores or ()), tuple(crops or ()), yes)
    with following("forget", options.Output.table, True) as emit:
        report = run(config, lambda outcome: say(outcome.text, quiet) if isinstance(outcome, Note) else emit(outcome))
    rows = Rows(output)
    rows.write(asdict(report))
    rows.close()
    if report.remains:
        return EXIT_PART
    there = f"{report.index_rows} rows of the index, {report.store_rows} of stores and {report.crops} crops"
    if report.done:
        say(f"{there} went; {report.files} files, {report.bytes / 1e6:.1f} MB searched, no trace found", quiet)
        return EXIT_DONE
    found = bool(report.index_rows or report.store_rows or report.crops)
    say(f"{there} would go; --yes does it" if found else "nobody of that name, no such photo", quiet)
    return EXIT_NO


def _build(config: BuildConfig, output: Any, quiet: bool) -> int:
    from cosface_cli.index.build import build as run

    report: BuildReport
    with following("index", options.Output.table, quiet) as emit:
        report = run(config, emit)
    rows = Rows(output)
    rows.write(asdict(report))
    rows.close()
    return emit.exit_code


def _split(paths: list[Path]) -> tuple[tuple[Path, ...], Path]:
    if len(paths) < 2:
        raise CosfaceError("a store and an index are needed", hint="cosface index build faces.h5 people.index")
    return tuple(paths[:-1]), paths[-1]


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("probe_face", "probe_score", "rank", "cos", "identity", "source", "face", "box"))
    return {"probe": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}


app.command("info")(upkeep.info)
app.command("check")(upkeep.check)
app.command("merge")(upkeep.merge)
app.command("export")(upkeep.export)
app.command("migrate")(upkeep.migrate)
app.command("cluster")(people.cluster)
app.command("label")(people.label)
app.command("identify")(people.identify)
app.add_typer(people.people, name="people")
