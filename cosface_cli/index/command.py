"""cosface index: build a search index from stores, search it, name the people in it, and maintain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from cosface_cli.command_line import Group, command
from cosface_cli.console import Terminal
from cosface_cli.index import AddConfig, BuildConfig, SearchConfig
from cosface_cli.index.forget.command import forget
from cosface_cli.index.people.command import PEOPLE, cluster, identify, label
from cosface_cli.index.upkeep.command import check, export, info, merge, migrate
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, Outcome, Rejected

COLUMNS = ("probe", "probe_face", "rank", "cos", "identity", "source")


@command(
    BuildConfig,
    examples=(
        "cosface index build faces.h5 people.index",
        "cosface index build 2024.h5 2025.h5 people.index --search sq8 --recall 0.99",
    ),
)
def build(config: BuildConfig, terminal: Terminal) -> int:
    """Make INDEX hold exactly the rows of the stores.

    Only new and changed rows are added; rows that are no longer in the stores are removed. An existing index stays in
    place until the new one is complete.
    """
    from cosface_cli.index import stage

    with terminal.stage_progress("index") as emit:
        report = stage.build(config, emit)
    terminal.print_rows([asdict(report)])
    return emit.exit_code


@command(AddConfig, examples=("cosface index add new.h5 people.index",))
def add(config: AddConfig, terminal: Terminal) -> int:
    """Add the rows of the stores to INDEX and keep the rows that it has from other sources."""
    from cosface_cli.index import stage

    with terminal.stage_progress("index") as emit:
        report = stage.add(config, emit)
    terminal.print_rows([asdict(report)])
    return emit.exit_code


@command(
    SearchConfig,
    examples=(
        "cosface index search people.index photo.jpg -k 10",
        "cosface index search people.index ./photos --by identity --min-cos 0.9",
        "find ./photos -name '*.jpg' | cosface index search people.index - --format json",
    ),
)
def search(config: SearchConfig, terminal: Terminal) -> int:
    """Print the k nearest rows of INDEX for each face of each probe, best first.

    With - as PROBE, each path on standard input is answered as soon as it is read.
    """
    from cosface_cli.index import stage

    with terminal.stage_output("search", COLUMNS, _reject_row) as emit:
        report = stage.search(config, emit)
    return EXIT_NO if emit.exit_code == EXIT_DONE and not report.hits else emit.exit_code


def _reject_row(outcome: Outcome) -> Mapping[str, object] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("probe_face", "probe_score", "rank", "cos", "identity", "source", "face", "box"))
    return {"probe": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}


INDEX = Group(
    "Build a search index from stores, search it, name the people in it, and maintain it.",
    {
        "build": build,
        "add": add,
        "search": search,
        "cluster": cluster,
        "label": label,
        "people": PEOPLE,
        "identify": identify,
        "forget": forget,
        "info": info,
        "check": check,
        "merge": merge,
        "export": export,
        "migrate": migrate,
    },
)
