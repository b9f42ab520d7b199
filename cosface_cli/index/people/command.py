"""cosface index cluster, label, people and identify."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from cosface_cli.command_line import Group, command
from cosface_cli.console import Terminal
from cosface_cli.index.people import (
    ClusterConfig,
    ExportNamesConfig,
    IdentifyConfig,
    IdentifyReport,
    ImportNamesConfig,
    LabelConfig,
    ListPeopleConfig,
    MergePeopleConfig,
    RenameConfig,
    SplitConfig,
)
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, Outcome, Rejected

if TYPE_CHECKING:
    from cosface_cli.artifacts.index.people_file import Person

CLUSTER_COLUMNS = ("cluster", "name", "cos", "doubtful", "source")
IDENTIFY_COLUMNS = ("probe", "probe_face", "match", "cos", "threshold", "candidate", "source")
PERSON_COLUMNS = ("cluster", "name", "held", "faces")


@command(
    ClusterConfig,
    examples=(
        "cosface index cluster people.index --html people.html",
        "cosface index cluster people.index --links ./by-person",
    ),
)
def cluster(config: ClusterConfig, terminal: Terminal) -> int:
    """Group the faces of INDEX by person. Persons that you named or corrected keep their faces."""
    from cosface_cli.index.people import stage

    if config.evaluate:
        with terminal.stage_progress("cluster") as emit:
            report = stage.cluster(config, emit)
        terminal.print_rows([asdict(report)])
        return EXIT_DONE if report.faces else EXIT_NO
    with terminal.stage_output("cluster", CLUSTER_COLUMNS) as emit:
        report = stage.cluster(config, emit)
    counts = f"{report.faces} faces: {report.clusters} groups ({report.fresh} new), {report.single} faces in no group"
    terminal.say(f"{counts}, {report.doubtful} doubtful; groups merged from a mean cosine of {report.min_cos:.3f}")
    return emit.exit_code


@command(
    IdentifyConfig,
    examples=(
        "cosface index identify people.index ./photos",
        "cosface index identify people.index photo.jpg --fpir 0.001 --strangers strangers.h5",
    ),
)
def identify(config: IdentifyConfig, terminal: Terminal) -> int:
    """Name the people in photos; answer "unknown" for strangers."""
    from cosface_cli.index.people import stage

    if config.evaluate:
        with terminal.stage_progress("identify") as emit:
            evaluation = stage.identify(config, emit)
        terminal.print_rows([asdict(evaluation)])
        return emit.exit_code
    with terminal.stage_output("identify", IDENTIFY_COLUMNS, _reject_row) as emit:
        report = stage.identify(config, emit)
    assert isinstance(report, IdentifyReport)
    if report.searches:
        set_on = f", set on {report.set_on} searches by strangers" if report.set_on else ""
        counts = f"{report.known} of {report.searches} known, of {report.people} people"
        terminal.say(f"{counts}; named from a cosine of {report.threshold:.4f}{set_on}")
    return EXIT_NO if emit.exit_code == EXIT_DONE and not report.known else emit.exit_code


@command(LabelConfig, examples=("cosface index label people.index 3 'Ann Lee'",))
def label(config: LabelConfig, terminal: Terminal) -> int:
    """Name a group of faces. A named group stays together when the faces are grouped again."""
    from cosface_cli.index.people.names import edits

    return _print_persons(terminal, [edits.label(config.index, config.who, config.name)])


@command(ListPeopleConfig, examples=("cosface index people list people.index",))
def list_people(config: ListPeopleConfig, terminal: Terminal) -> int:
    """Print the persons of INDEX."""
    from cosface_cli.index.people.names import edits

    return _print_persons(terminal, edits.list_people(config.index))


@command(RenameConfig, examples=("cosface index people rename people.index 'Ann Lee' 'Ann Smith'",))
def rename(config: RenameConfig, terminal: Terminal) -> int:
    """Give a person another name."""
    from cosface_cli.index.people.names import edits

    return _print_persons(terminal, [edits.label(config.index, config.who, config.name)])


@command(MergePeopleConfig, examples=("cosface index people merge people.index 'Ann Lee' 7 12",))
def merge(config: MergePeopleConfig, terminal: Terminal) -> int:
    """Make one person of several; the id and name of the first stay."""
    from cosface_cli.index.people.names import edits

    return _print_persons(terminal, [edits.merge_people(config.index, config.who, config.others)])


@command(SplitConfig, examples=("cosface index people split people.index 'Ann Lee' a/1.jpg a/2.jpg#2 --name Bo",))
def split(config: SplitConfig, terminal: Terminal) -> int:
    """Move photos from a person to a new person."""
    from cosface_cli.index.people.names import edits

    return _print_persons(terminal, edits.split_person(config.index, config.who, config.sources, config.name))


@command(ExportNamesConfig, examples=("cosface index people export people.index names.csv",))
def export(config: ExportNamesConfig, terminal: Terminal) -> int:
    """Write the persons of INDEX to a CSV file, one line per face."""
    from cosface_cli.index.people.names.names_csv import export_names

    count = export_names(config.index, config.table)
    terminal.say(f"{config.table}: {count} faces")
    return EXIT_DONE if count else EXIT_NO


@command(ImportNamesConfig, examples=("cosface index people import people.index names.csv",))
def import_table(config: ImportNamesConfig, terminal: Terminal) -> int:
    """Name faces according to a CSV file, and print the persons that changed."""
    from cosface_cli.index.people.names.names_csv import import_names

    with terminal.stage_progress("import") as emit:
        changed = import_names(config.index, config.table, emit)
    _print_persons(terminal, changed)
    return emit.exit_code


def _print_persons(terminal: Terminal, persons: Iterable[Person]) -> int:
    from cosface_cli.index.people.names.edits import person_row

    rows = [person_row(person) for person in persons]
    terminal.print_rows(rows, PERSON_COLUMNS)
    return EXIT_DONE if rows else EXIT_NO


def _reject_row(outcome: Outcome) -> Mapping[str, object] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("probe_face", "match", "candidate", "cos", "threshold", "source", "face", "candidates"))
    return {"probe": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}


PEOPLE = Group(
    "The persons of an index: list, rename, merge, split, export, import.",
    {
        "list": list_people,
        "rename": rename,
        "merge": merge,
        "split": split,
        "export": export,
        "import": import_table,
    },
)
