"""The terminal: rows on stdout, progress and messages on stderr.

Rows are NDJSON when piped and a table on a terminal. Progress is a bar of rich on a terminal and plain lines elsewhere.
NO_COLOR is respected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated

from cosface_cli.console.messages import printable as printable
from cosface_cli.console.messages import say as say
from cosface_cli.console.output_rows import Format as Format
from cosface_cli.console.output_rows import Rows as Rows
from cosface_cli.console.output_rows import json_line as json_line
from cosface_cli.console.progress_display import open_progress_display
from cosface_cli.options import Checked, option
from cosface_cli.outcomes import Done, Note, Outcome, Planned, Progress, Rejected, Tally

RowOf = Callable[[Outcome], Mapping[str, object] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal(Checked):
    """The output options of every command, and the functions with which commands print."""

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
        """A writer of rows to stdout. columns: of a table or TSV; all keys by default."""
        return Rows(self.format, columns)

    def print_rows(self, rows: Iterable[Mapping[str, object]], columns: tuple[str, ...] = ()) -> None:
        """Write all rows to stdout."""
        writer = self.rows(columns)
        for row in rows:
            writer.write(row)
        writer.close()

    @contextmanager
    def stage_output(
        self, verb: str, columns: tuple[str, ...] = (), row_of: RowOf = lambda outcome: None
    ) -> Iterator[StageOutput]:
        """Print the outcomes of a stage: rows to stdout, progress and messages to stderr.

        row_of: makes a row for a reject without one, for a command that prints rejects.
        """
        output = StageOutput(verb, self.rows(columns), self.quiet, row_of)
        is_finished = False
        try:
            yield output
            is_finished = True
        finally:
            output.close(is_finished)

    def stage_progress(self, verb: str) -> AbstractContextManager[StageOutput]:
        """The same for a stage whose outcomes have no rows."""
        return Terminal(format="table", quiet=self.quiet).stage_output(verb)

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

    def close(self, is_finished: bool) -> None:
        """Print the table; if the stage finished, also the summary."""
        self._progress.close()
        self.rows.close()
        if is_finished:
            seconds = time.monotonic() - self.started
            rate = f", {self.tally.done / seconds:.1f}/s" if self.tally.done > 1 and seconds > 0 else ""
            say(f"{self.tally} in {seconds:.1f} s{rate}", self._quiet)

    @property
    def exit_code(self) -> int:
        """The exit code of the command, from the counts."""
        return self.tally.exit_code
