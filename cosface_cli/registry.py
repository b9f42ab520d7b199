"""Choices by name: a table lists them, and imports an entry only when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar, cast

from cosface_cli.errors import CosfaceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One choice of a table."""

    name: str
    """What a user types."""
    target: str
    """Where the entry is defined: "module:attribute"."""
    summary: str
    """One line for help and lists."""
    extra: str | None = None
    """The pip extra that brings what the module imports."""


class Table(Generic[T]):
    """Rows by name, for one kind of thing ("detector", "loss"). T: the protocol that each entry implements.

    The targets are strings, so tests/test_tables.py writes them out as typed assignments and runs mypy on them.
    """

    def __init__(self, kind: str, *rows: Row) -> None:
        self.kind = kind
        self._rows = {row.name: row for row in rows}

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    @property
    def names(self) -> list[str]:
        return list(self._rows)

    def row(self, name: str) -> Row:
        """The row of that name. Raises CosfaceError that names the closest choice, or all choices."""
        try:
            return self._rows[name]
        except KeyError:
            raise CosfaceError(f"no {self.kind} is called {name!r}", hint=suggest(name, self.names)) from None

    def load(self, name: str) -> T:
        """Import the entry of that name. Raises CosfaceError when its pip extra is not installed."""
        row = self.row(name)
        module, _, attribute = row.target.partition(":")
        try:
            return cast(T, getattr(import_module(module), attribute))
        except ModuleNotFoundError as error:
            if row.extra is None or (error.name or "").startswith("cosface_cli"):
                raise
            raise CosfaceError(
                f"the {self.kind} {name!r} needs the package {error.name!r}",
                hint=f"pip install 'cosface[{row.extra}]'",
            ) from error

    @contextmanager
    def with_row(self, row: Row) -> Iterator[None]:
        """Add a row within a with statement, for tests. Other processes do not have it."""
        before = self._rows
        self._rows = {**before, row.name: row}
        try:
            yield
        finally:
            self._rows = before


def suggest(word: str, choices: list[str]) -> str:
    """A hint for an unknown word: the closest choice if one is similar, else all choices."""
    from difflib import get_close_matches

    near = get_close_matches(word, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(choices)}"


def require_one_of(value: str, choices: Iterable[str], flag: str) -> None:
    """Raises CosfaceError with the closest choice if value is not one of choices."""
    names = list(choices)
    if value not in names:
        raise CosfaceError(f"{flag} {value!r} is not known", hint=suggest(str(value), names))
