"""The terminal: rows on stdout. Progress and messages go to stderr.

Rows are NDJSON when piped and a table on a terminal. rich draws the progress on a terminal; elsewhere it is plain
lines. NO_COLOR is obeyed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from cosface_cli.console.messages import printable as printable
from cosface_cli.console.messages import say as say
from cosface_cli.console.output_rows import Format as Format
from cosface_cli.console.output_rows import Rows as Rows
from cosface_cli.console.output_rows import json_line as json_line
from cosface_cli.console.progress_display import open_progress_display
from cosface_cli.options import Checked, option
from cosface_cli.outcomes import Done, Note, Outcome, Planned, Progress, Rejected, Tally

RowOf = Callable[[Outcome], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal(Checked):
    """The options of output that every command has, and what a command prints with."""

    format: Annotated[
        Format | None,
        option(
            "Rows on stdout: a table, one JSON object per line, or tab-separated values.",
            group="Output",
            unset="table on a terminal, json when piped",
        ),
    ] = None
    quiet: Annotated[
        bool,
        option("No progress and no messages on stderr; errors are still printed.", "--quiet", "-q", group="Output"),
    ] = False

    def rows(self, columns: tuple[str, ...] = ()) -> Rows:
        """A writer of rows to stdout. columns: of a table or TSV, by default all keys."""
        return Rows(self.format, columns)

    def print_rows(self, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...] = ()) -> None:
        """Write rows to stdout at once."""
        writer = self.rows(columns)
        for row in rows:
            writer.write(row)
        writer.close()

    def following(
        self, verb: str, columns: tuple[str, ...] = (), row_of: RowOf = lambda outcome: None
    ) -> AbstractContextManager[StageOutput]:
        """Print the outcomes of a stage: rows to stdout, progress and messages to stderr.

        row_of: the row of a reject that the stage gave none, for a command that prints rejects.
        """
        return following(verb, self.format, self.quiet, columns, row_of)

    def watching(self, verb: str) -> AbstractContextManager[StageOutput]:
        """The same for a stage whose outcomes have no rows."""
        return following(verb, "table", self.quiet)

    def say(self, text: str) -> None:
        """Print a message on stderr."""
        say(text, self.quiet)


class StageOutput:
    """Prints the outcomes of a stage as rows, progress, messages and a summary."""

    def __init__(self, verb: str, rows: Rows, quiet: bool, row_of: RowOf) -> None:
        self.tally = Tally()
        self.rows = rows
        self.started = time.monotonic()
        self._row_of = row_of
        self._quiet = quiet
        self._progress = open_progress_display(verb, quiet)
        self._total = 0
        self._stage_reports_progress = False

    def __call__(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        match outcome:
            case Planned(total=total):
                self._total = total
                return
            case Progress(done=done, total=total):
                self._stage_reports_progress = True
                self._progress.at(done, total, self.tally.rejected)
                return
            case Note(text=text):
                self._progress.say(text)
                return
            case Done(rows=rows):
                for row in rows:
                    self.rows.write(row)
            case Rejected(words=words):
                reject = outcome.row or self._row_of(outcome)
                if reject is not None:
                    self.rows.write(reject)
                self._progress.say(words)
        if not self._stage_reports_progress:
            self._progress.at(self.tally.total, self._total, self.tally.rejected)

    def close(self, finished: bool) -> None:
        """Print the table; if the stage finished, also the summary."""
        self._progress.close()
        self.rows.close()
        if finished:
            seconds = time.monotonic() - self.started
            rate = f", {self.tally.done / seconds:.1f}/s" if self.tally.done > 1 and seconds > 0 else ""
            say(f"{self.tally} in {seconds:.1f} s{rate}", self._quiet)

    @property
    def exit_code(self) -> int:
        """Of the command, by the counts."""
        return self.tally.exit_code


@contextmanager
def following(
    verb: str,
    output: Format | None,
    quiet: bool,
    columns: tuple[str, ...] = (),
    row_of: RowOf = lambda outcome: None,
) -> Iterator[StageOutput]:
    """See Terminal.following."""
    stage_output = StageOutput(verb, Rows(output, columns), quiet, row_of)
    finished = False
    try:
        yield stage_output
        finished = True
    finally:
        stage_output.close(finished)
