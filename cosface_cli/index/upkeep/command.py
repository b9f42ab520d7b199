"""cosface index info, check, merge, export and migrate: maintain an index."""

from __future__ import annotations

from dataclasses import asdict

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.index.upkeep import CheckConfig, ExportConfig, InfoConfig, MergeConfig, MigrateConfig
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO


@command(InfoConfig, examples=("cosface index info people.index",))
def info(config: InfoConfig, terminal: Terminal) -> int:
    """Print what INDEX holds: rows, model, how it is searched, stores."""
    from cosface_cli.index.upkeep import stage

    report = stage.info(config)
    terminal.print_rows([asdict(report)])
    segments = ", ".join(f"{segment['rows']} rows {segment['search']}" for segment in report.segments)
    terminal.say(f"{report.rows} faces of {report.identities} identities by {report.model}; {segments or 'empty'}")
    if report.unfinished:
        hint = f"finish it: cosface index forget {config.index} --yes"
        terminal.say(f"an interrupted `cosface index forget` is unfinished; {hint}")
    return EXIT_DONE


@command(CheckConfig, examples=("cosface index check people.index", "cosface index check people.index --rows 0"))
def check(config: CheckConfig, terminal: Terminal) -> int:
    """Check INDEX: its files and rows, that a search for a row finds it, and that its stores have the same rows."""
    from cosface_cli.index.upkeep import stage

    report = stage.check(config)
    terminal.print_rows([asdict(report)])
    for problem in report.problems:
        terminal.say(problem)
    if report.ok:
        terminal.say(f"{report.rows} rows, {report.found} of {report.searched} searched rows found, no problem")
    return EXIT_DONE if report.ok else EXIT_NO


@command(MergeConfig, examples=("cosface index merge a.index b.index all.index",))
def merge(config: MergeConfig, terminal: Terminal) -> int:
    """Join indexes into a new one. Each row is taken once; the names of people are copied."""
    from cosface_cli.index.upkeep import stage

    with terminal.stage_progress("merge") as emit:
        report = stage.merge(config, emit)
    terminal.print_rows([asdict(report)])
    return emit.exit_code


@command(
    ExportConfig,
    examples=("cosface index export people.index vectors.npy", "cosface index export people.index rows.parquet"),
)
def export(config: ExportConfig, terminal: Terminal) -> int:
    """Write INDEX to a file for other tools: its vectors (.npy), its rows (.csv), or both (.parquet)."""
    from cosface_cli.index.upkeep import stage

    report = stage.export(config)
    terminal.print_rows([asdict(report)])
    terminal.say(f"{report.rows} rows written to {report.out}")
    return EXIT_DONE


@command(MigrateConfig, examples=("cosface index migrate old.index new.index --from old.h5 --to new.h5",))
def migrate(config: MigrateConfig, terminal: Terminal) -> int:
    """Move INDEX to another model without its photos, by a linear map. The loss of accuracy is measured and printed.

    The map is fitted on faces that are in both stores, and measured on people that it was not fitted on.
    """
    from cosface_cli.index.upkeep import stage

    with terminal.stage_progress("migrate") as emit:
        report = stage.migrate(config, emit)
    terminal.print_rows([asdict(report)])
    return emit.exit_code
