"""cosface index info, check, merge, export, migrate: looking after an index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.index.upkeep import CheckConfig, MergeConfig, MigrateConfig
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO

CHECK = CheckConfig(index=Path())
MERGE = MergeConfig(indexes=(), out=Path())

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="An index folder.")]
Search = Annotated[str, typer.Option("--search", help="flat, sq8, pq, or auto by the number of rows.")]
Recall = Annotated[float, typer.Option("--recall", help="What sq8 and pq are tuned for, by measuring.")]


def info(index: Index, output: options.Format = None, quiet: options.Quiet = False) -> int:
    """Say what INDEX holds: rows, model, how it is searched, stores."""
    from cosface_cli.index.upkeep.info import info as run

    report = run(index)
    _write(asdict(report), output)
    searched = ", ".join(f"{part['rows']} rows {part['search']}" for part in report.segments)
    say(f"{report.rows} faces of {report.identities} identities by {report.model}; {searched or 'empty'}", quiet)
    if report.unfinished:
        say(f"forgetting somebody has not ended here: cosface index forget {index} --yes", quiet)
    return EXIT_DONE


def check(
    index: Index,
    rows: Annotated[
        int, typer.Option("--rows", min=0, help="How many rows must find themselves; 0: all.")
    ] = CHECK.rows,
    stores: Annotated[
        list[Path] | None, typer.Option("--store", help="Compare with this store too; repeatable.")
    ] = None,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Check INDEX: its files, its rows, that they find themselves, and that its stores say the same."""
    from cosface_cli.index.upkeep.check import check as run

    with following("check", options.Output.table, True) as emit:
        report = run(CheckConfig(index, rows, tuple(stores or ())), emit)
    _write(asdict(report), output)
    for problem in report.problems:
        say(problem, quiet)
    if report.ok:
        say(f"{report.rows} rows, {report.found} of {report.searched} tried find themselves, nothing is wrong", quiet)
    return EXIT_DONE if report.ok else EXIT_NO


def merge(
    paths: Annotated[list[Path], typer.Argument(metavar="INDEX... OUT", help="Indexes of one model, then a new one.")],
    search: Search = MERGE.search,
    recall: Recall = MERGE.recall,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Join indexes into a new one, each row once; names given to people are moved by index people export and import."""
    from cosface_cli.index.upkeep.merge import merge as run

    if len(paths) < 2:
        raise CosfaceError("indexes and the new one are needed", hint="cosface index merge a.index b.index all.index")
    with following("merge", options.Output.table, quiet) as emit:
        report = run(MergeConfig(tuple(paths[:-1]), paths[-1], search, recall), emit)
    _write(asdict(report), output)
    return emit.exit_code


def export(
    index: Index,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file that ends in .npy, .csv or .parquet.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="In .csv also the numbers of the vectors.")] = False,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Write INDEX to a file for other tools: the vectors (.npy), what is known of each (.csv), or both (.parquet)."""
    from cosface_cli.index.upkeep.export import export as run

    report = run(index, out, vectors)
    _write(asdict(report), output)
    say(f"{report.rows} rows written to {report.out}", quiet)
    return EXIT_DONE


def migrate(
    index: Index,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new index folder.")],
    old: Annotated[Path, typer.Option("--from", help="A store of the index's model.")],
    new: Annotated[Path, typer.Option("--to", help="A store of the new model, of the same crops or photos.")],
    search: Search = MERGE.search,
    recall: Recall = MERGE.recall,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Move INDEX to another model without its photos, by a linear map; what that costs is measured and said.

    The map is learned on faces that stand in both stores, and measured on people that it was not learned on.
    """
    from cosface_cli.index.upkeep.migrate import migrate as run

    with following("migrate", options.Output.table, quiet) as emit:
        report = run(MigrateConfig(index, old, new, out, search, recall), emit)
    _write(asdict(report), output)
    return emit.exit_code


def _write(row: dict[str, Any], output: Any) -> None:
    rows = Rows(output)
    rows.write(row)
    rows.close()
