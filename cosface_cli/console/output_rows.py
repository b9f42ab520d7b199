"""Rows of output on stdout: a table, one JSON object per line, or tab-separated values."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from cosface_cli.console.messages import printable, without_markup
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE

Format = Literal["table", "json", "tsv"]

TABLE_ROWS = 50  # a table shows at most this many rows, and counts the others
_PIPED_WIDTH = 200  # characters: width of a table that is not printed on a terminal


class Rows:
    """Writes rows to stdout in one format. A closed pipe (`| head`) ends the program without an error."""

    def __init__(self, output: Format | None, columns: tuple[str, ...] = ()) -> None:
        """output: None: a table on a terminal, JSON elsewhere. columns: of a table or TSV; all keys by default."""
        self.output = output or ("table" if sys.stdout.isatty() else "json")
        self.columns = columns
        self._table: list[Mapping[str, object]] = []
        self._more = 0
        self._header_written = False

    def write(self, row: Mapping[str, object]) -> None:
        if self.output == "json":
            self._print(json_line(row))
        elif self.output == "tsv":
            columns = self.columns or tuple(row)
            if not self._header_written:
                self._print("\t".join(columns))
                self._header_written = True
            self._print("\t".join(_cell(row.get(column)) for column in columns))
        elif len(self._table) < TABLE_ROWS:
            self._table.append(row)
        else:
            self._more += 1

    def close(self) -> None:
        """Print the table, if there is one."""
        if self._table:
            self._print(self._table_text())
            if self._more:
                self._print(f"... and {self._more} more rows: --format json writes them all")
        with _closed_pipe_ends_program():
            sys.stdout.flush()

    def _table_text(self) -> str:
        from rich.console import Console
        from rich.table import Table

        columns = self.columns or tuple(dict.fromkeys(key for row in self._table for key in row))
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in self._table:
            table.add_row(*(without_markup(_cell(row.get(column))) for column in columns))
        width = None if sys.stdout.isatty() else _PIPED_WIDTH
        terminal = Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False)
        with terminal.capture() as capture:  # if rich printed it, a closed pipe would end with exit code 1
            terminal.print(table)
        return capture.get().rstrip("\n")

    def _print(self, text: str) -> None:
        with _closed_pipe_ends_program():
            sys.stdout.write(text + "\n")
            if self.output == "json":
                sys.stdout.flush()  # so that the reader of a pipe gets each row at once


def json_line(row: Mapping[str, object]) -> str:
    """One row as JSON. Names that are not valid UTF-8 are written as escapes that decode to the same name; infinity
    and NaN become null."""
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


@contextmanager
def _closed_pipe_ends_program() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _discard_stdout()
        raise SystemExit(EXIT_DONE) from None
    except OSError as error:
        _discard_stdout()
        raise CosfaceError(f"standard output cannot be written ({error.strerror})") from None


def _discard_stdout() -> None:
    """Redirect stdout to the null device, because the interpreter flushes it again at exit, and that must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
    if isinstance(value, (list, tuple)):
        return " ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value)
    return printable(str(value))
