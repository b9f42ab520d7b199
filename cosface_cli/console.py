"""The terminal: rows on standard output, people's words on standard error.

Rows are NDJSON when piped and a table on a terminal. Words are progress, notes and one line of summary; rich draws
them on a terminal, plain lines stand for it elsewhere. NO_COLOR is obeyed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cosface_cli.errors import CosfaceError
from cosface_cli.options import Checked, option
from cosface_cli.outcomes import EXIT_DONE, Done, Note, Outcome, Planned, Progress, Rejected, Tally

Format = Literal["table", "json", "tsv"]
RowOf = Callable[[Outcome], Mapping[str, Any] | None]

_PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal
_TABLE_ROWS = 50  # more rows than that are no table for people: the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal(Checked):
    """How a command speaks: the options that every command has."""

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
        """What writes rows to stdout. columns: of a table and of tab-separated values, all keys if empty."""
        return Rows(self.format, columns)

    def print_rows(self, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...] = ()) -> None:
        """Write rows to stdout at once."""
        writer = self.rows(columns)
        for row in rows:
            writer.write(row)
        writer.close()

    def following(
        self, verb: str, columns: tuple[str, ...] = (), row_of: RowOf = lambda outcome: None
    ) -> AbstractContextManager[Following]:
        """Follow a stage that works through many inputs: rows to stdout, progress and messages to stderr.

        row_of: the row of a reject, where the command prints one.
        """
        return following(verb, self.format, self.quiet, columns, row_of)

    def watching(self, verb: str) -> AbstractContextManager[Following]:
        """The same for a stage whose rows are no output: they are dropped, progress and messages stay."""
        return following(verb, "table", self.quiet)

    def say(self, text: str) -> None:
        """A message on stderr."""
        say(text, self.quiet)


class Rows:
    """Writes rows to standard output in one format. A closed pipe (`| head`) ends the program quietly."""

    def __init__(self, output: Format | None, columns: tuple[str, ...] = ()) -> None:
        self.output = output or ("table" if sys.stdout.isatty() else "json")
        self.columns = columns
        self._table: list[Mapping[str, Any]] = []
        self._more = 0
        self._header_written = False

    def write(self, row: Mapping[str, Any]) -> None:
        if self.output == "json":
            self._print(json_line(row))
        elif self.output == "tsv":
            columns = self.columns or tuple(row)
            if not self._header_written:
                self._print("\t".join(columns))
                self._header_written = True
            self._print("\t".join(_cell(row.get(column)) for column in columns))
        elif len(self._table) < _TABLE_ROWS:
            self._table.append(row)
        else:
            self._more += 1

    def close(self) -> None:
        """Print the table, if there is one."""
        if self._table:
            from rich.console import Console
            from rich.table import Table

            columns = self.columns or tuple(dict.fromkeys(key for row in self._table for key in row))
            table = Table(box=None, header_style="bold", pad_edge=False)
            for column in columns:
                table.add_column(column, overflow="fold")
            for row in self._table:
                table.add_row(*(_escape(_cell(row.get(column))) for column in columns))
            width = None if sys.stdout.isatty() else 200
            terminal = Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)
            with terminal.capture() as drawn:  # rich answers a closed pipe with exit code 1
                terminal.print(table)
            self._print(drawn.get().rstrip("\n"))
            if self._more:
                self._print(f"... and {self._more} more rows: --format json writes them all")
        with _quiet_pipe():
            sys.stdout.flush()

    def _print(self, text: str) -> None:
        with _quiet_pipe():
            sys.stdout.write(text + "\n")
            if self.output == "json":
                sys.stdout.flush()  # a reader of the pipe sees each row when it is there


def json_line(row: Mapping[str, Any]) -> str:
    """One row as JSON; names that are no UTF-8 are written as escapes that decode to the same name.

    A number that JSON has no word for becomes null.
    """
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        row = json.loads(json.dumps(row), parse_constant=lambda name: None)
        text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=True)
    return text


def say(text: str, quiet: bool = False) -> None:
    """A sentence for people on standard error."""
    if not quiet:
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """The text with what a terminal or a log cannot hold written as escapes: control characters, lone bytes."""
    return "".join(
        c if c.isprintable() or c == " " else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class Following:
    """Turns the outcomes of a stage into rows, progress and the last line. exit_code: what the tally says."""

    def __init__(self, verb: str, rows: Rows, quiet: bool, row_of: RowOf) -> None:
        self.tally = Tally()
        self.rows = rows
        self._row_of = row_of
        self._quiet = quiet
        self._progress = progress(verb, quiet)
        self._total = 0
        self._fine = False  # whether the stage tells how far it is itself
        self.started = time.monotonic()

    def __call__(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        match outcome:
            case Planned(total=total):
                self._total = total
                return
            case Progress(done=done, total=total):
                self._fine = True
                self._progress.at(done, total, self.tally.rejected)
                return
            case Note(text=text):
                self._progress.say(text)
                return
            case Done(rows=found):
                for row in found:
                    self.rows.write(row)
            case Rejected(words=words):
                reject = outcome.row or self._row_of(outcome)
                if reject is not None:
                    self.rows.write(reject)
                self._progress.say(words)
        if not self._fine:
            self._progress.at(self.tally.total, self._total, self.tally.rejected)

    def close(self, finished: bool) -> None:
        self._progress.close()
        self.rows.close()
        if finished:
            seconds = time.monotonic() - self.started
            rate = f", {self.tally.done / seconds:.1f}/s" if self.tally.done > 1 and seconds > 0 else ""
            say(f"{self.tally} in {seconds:.1f} s{rate}", self._quiet)

    @property
    def exit_code(self) -> int:
        return self.tally.exit_code


@contextmanager
def following(
    verb: str,
    output: Format | None,
    quiet: bool,
    columns: tuple[str, ...] = (),
    row_of: RowOf = lambda outcome: None,
) -> Iterator[Following]:
    """Follow a stage that works through many inputs. row_of: the row of a reject, where the command prints one."""
    follower = Following(verb, Rows(output, columns), quiet, row_of)
    finished = False
    try:
        yield follower
        finished = True
    finally:
        follower.close(finished)


class _Plain:
    """Progress for a log: a line now and then."""

    def __init__(self, verb: str, quiet: bool) -> None:
        self._verb, self._quiet = verb, quiet
        self._pace = _Pace()
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        say(text, self._quiet)

    def at(self, done: int, total: int, rejected: int) -> None:
        rate = self._pace.rate(done)
        now = time.monotonic()
        if self._quiet or now - self._last < _PLAIN_SECONDS:
            return
        self._last = now
        left = f"/{total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left" if total and rate else f", {rate:.1f}/s"
        say(f"{self._verb}: {done}{left}, {rejected} rejected")

    def close(self) -> None:
        pass


class _Bar:
    """Progress on a terminal: rich's bar with rate, remaining time and rejects."""

    def __init__(self, verb: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rejects]}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task(verb, total=None, rate="", rejects="")
        self._pace = _Pace()
        self._progress.start()

    def say(self, text: str) -> None:
        self._progress.console.print(_escape(printable(text)))

    def at(self, done: int, total: int, rejected: int) -> None:
        self._progress.update(
            self._task,
            completed=done,
            total=total or None,
            rate=f"{self._pace.rate(done):.1f}/s",
            rejects=f"{rejected} rejected" if rejected else "",
        )

    def close(self) -> None:
        self._progress.stop()


class _Pace:
    """How fast it goes, from where this run began: what an earlier one had done does not count."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first: int | None = None

    def rate(self, done: int) -> float:
        """Per second, 0 before the first."""
        if self._first is None:
            self._first = done - 1
        return (done - self._first) / max(time.monotonic() - self._started, 1e-9)


def progress(verb: str, quiet: bool) -> _Plain | _Bar:
    """A bar on a terminal, plain lines elsewhere, nothing when quiet."""
    if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _Bar(verb)
    return _Plain(verb, quiet)


@contextmanager
def _quiet_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # the interpreter flushes at its end once more: give it somewhere to write to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_DONE) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CosfaceError(f"standard output cannot be written ({error.strerror})") from None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
    if isinstance(value, (list, tuple)):
        return " ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value)
    return printable(str(value))


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
