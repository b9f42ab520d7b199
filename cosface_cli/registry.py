"""Tables of what can be chosen by name: a row says where the thing lives and is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cosface_cli.errors import CosfaceError


@dataclass(frozen=True, slots=True)
class Row:
    """One choice. target: "module:attribute"; extra: the pip extra that brings what it imports."""

    name: str
    target: str
    summary: str
    extra: str | None = None


class Table:
    """Rows by name, for one kind of thing ("detector", "loss")."""

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
        """The row of that name. Raises CosfaceError that names the near miss or all the choices."""
        try:
            return self._rows[name]
        except KeyError:
            raise CosfaceError(f"no {self.kind} is called {name!r}", hint=suggest(name, self.names)) from None

    def load(self, name: str) -> Any:
        """Import what the row points to. Raises CosfaceError when its pip extra is not installed."""
        row = self.row(name)
        module, _, attribute = row.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if row.extra is None or (error.name or "").startswith("cosface_cli"):
                raise
            raise CosfaceError(
                f"the {self.kind} {name!r} needs the package {error.name!r}",
                hint=f"pip install 'cosface[{row.extra}]'",
            ) from error


def suggest(word: str, choices: list[str]) -> str:
    """A mend for a wrong word: its near miss if there is one, else all the choices."""
    from difflib import get_close_matches

    near = get_close_matches(word, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(choices)}"


def one_of(value: str, choices: Iterable[str], flag: str) -> None:
    """Raises CosfaceError with the near miss unless value is one of choices."""
    names = list(choices)
    if value not in names:
        raise CosfaceError(f"{flag} {value!r} is not known", hint=suggest(value, names))
