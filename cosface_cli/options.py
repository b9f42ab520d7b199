"""Options as data: a field of a config dataclass has its flag, help, choices and range, and is checked against them.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class AlignConfig(Checked):
        raw: Annotated[str, argument("RAW", "Folder, archive or video.")]
        faces: Annotated[Faces, option("Which faces of a photo are cut out.", group="detection")] = "largest"
        min_face: Annotated[float, option("Smallest face, in pixels.", at_least=1)] = 20.0

The command line, cosface.toml, environment variables, recipes and examples/cli.md are made from these fields
(command_line), so each option is written once. Nothing here imports Typer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Table, require_one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The description of a config field, in addition to its type and default."""

    help: str
    """One or two sentences. "{choices}" is replaced by the names to choose from."""
    flags: tuple[str, ...] = ()
    """--field-name if empty; a bool that may be None gets --name/--no-name."""
    positional: bool = False
    """Whether it is an argument, without a flag."""
    metavar: str | None = None
    """The placeholder of the value in the help, such as "<name>"; for an argument its name."""
    group: str = "Options"
    """The heading in the help under which it is listed."""
    choices: tuple[str, ...] | Table[Any] = ()
    """All allowed values; those of a Literal annotation need not be repeated."""
    known: Table[Any] | None = None
    """Names for "{choices}" in the help, if other values, such as paths, are allowed too."""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    unset: str | None = None
    """The default in words, if the field's default is None or empty: "from the recipe"."""
    separator: str | None = None
    """For a tuple: the character between its values, which are one argument; "none" is the empty tuple."""
    example: str | None = None
    """A value as it is written, for messages."""

    @property
    def range_text(self) -> str:
        """ "above 0 and at most 1"; empty if every number is allowed."""
        limits = (("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below))
        return " and ".join(f"{word} {number_text(limit)}" for word, limit in limits if limit is not None)

    def contains(self, value: float) -> bool:
        """Whether a number is finite and in the range."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def number_text(number: float) -> str:
    """A number without superfluous digits: 20, 0.35."""
    return str(number) if isinstance(number, int) else f"{number:g}"


def option(help: str, *flags: str, **rest: Any) -> Option:
    """An option; rest: the other fields of Option."""
    return Option(help=help, flags=flags, **rest)


def argument(metavar: str, help: str, **rest: Any) -> Option:
    """An argument, without a flag; rest: the other fields of Option."""
    return Option(help=help, metavar=metavar, positional=True, **rest)


def default_text(value: Any) -> str:
    """A default as it stands in the help."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number_text(value)
    return (",".join(map(default_text, value)) or "none") if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A field of a config as the command line sees it."""

    name: str
    """The field's name."""
    kind: type
    """Type of one value: str, int, float, bool or Path."""
    optional: bool
    """Whether it can be None."""
    several: bool
    """Whether it holds a tuple of values."""
    single: bool
    """Whether one value is stored without a tuple."""
    pairs: bool
    """Whether it holds a mapping, written as NAME=VALUE."""
    default: Any
    """MISSING if the option is required."""
    literal: tuple[str, ...]
    """Values of its Literal annotation."""
    option: Option

    @property
    def choices(self) -> tuple[str, ...]:
        """All allowed values, a table's with the rows that it has now; empty if every value is allowed."""
        choices = self.option.choices
        return tuple(choices.names) if isinstance(choices, Table) else choices or self.literal

    @property
    def flag(self) -> str:
        """Its name in messages: the first flag, or the name of an argument."""
        if self.option.positional:
            return self.option.metavar or self.name.upper()
        return self.option.flags[0].partition("/")[0] if self.option.flags else "--" + self.name.replace("_", "-")

    @property
    def help(self) -> str:
        known = self.option.known
        return self.option.help.replace("{choices}", ", ".join(self.choices if known is None else known.names))


class Checked:
    """Base class of configs, whose values are checked against their options when a config is created."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check(self)


def parameters(config: Any) -> tuple[Parameter, ...]:
    """The fields of a config dataclass that have an option, in order."""
    return _parameters(config)  # mypy rejects type[T] as an argument of a cached function


@cache
def _parameters(config: Any) -> tuple[Parameter, ...]:
    hints = get_type_hints(config, include_extras=True)
    return tuple(
        _parameter(f.name, hints[f.name], f.default if f.default_factory is MISSING else f.default_factory())
        for f in fields(config)
        if any(isinstance(note, Option) for note in getattr(hints[f.name], "__metadata__", ()))
    )


def parameter(config: type, name: str) -> Parameter:
    """The parameter of one field."""
    return next(parameter for parameter in parameters(config) if parameter.name == name)


def flag_of(config: type, name: str) -> str:
    """The name of a field in messages: its flag."""
    return parameter(config, name).flag


def changed_fields(config: Any) -> frozenset[str]:
    """Names of the fields whose value is not their default."""
    return frozenset(f.name for f in fields(config) if getattr(config, f.name) != f.default)


def check(config: Any) -> None:
    """Raises CosfaceError for a value out of its range, not finite, or not among its choices."""
    for field in parameters(config.__class__):
        value = getattr(config, field.name)
        if value is None or field.pairs:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            _check_one(field, item)


def convert(field: Parameter, value: Any) -> Any:
    """Convert a value of TOML or of the command line to the field's type. Raises CosfaceError for a wrong type."""
    if value is None and field.optional:
        return None
    if field.pairs:
        return _convert_pairs(field, value)
    if field.several:
        empty = ("", "none") if field.option.separator else ("",)
        items = tuple(_convert_one(field, item) for item in _items(field, value) if item not in empty)
        return items[0] if field.single and len(items) == 1 else items
    return _convert_one(field, value)


def _items(field: Parameter, value: Any) -> list[Any]:
    """The single values of a field that holds several."""
    if isinstance(value, str) and field.option.separator:
        return [word.strip() for word in value.split(field.option.separator)]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_one(field: Parameter, value: Any) -> None:
    if field.choices:
        require_one_of(value, field.choices, field.flag)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not field.option.contains(value):
        expected = field.option.range_text or "a finite number"
        raise CosfaceError(f"{field.flag} must be {expected}, got {number_text(value)}")


def _convert_one(field: Parameter, value: Any) -> Any:
    """A single value of the field's kind."""
    problem = CosfaceError(_type_problem(field, value))
    if field.kind is bool or isinstance(value, bool):
        if type(value) is not field.kind:
            raise problem
        return value
    if field.kind in (int, float) and isinstance(value, str):
        try:
            value = float(value) if field.kind is float or "." in value else int(value)
        except ValueError:
            raise problem from None
    if field.kind is float and isinstance(value, int):
        return float(value)
    if field.kind is int and isinstance(value, float) and value.is_integer():  # "3.0" and 3.0 are 3
        return int(value)
    if field.kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if not isinstance(value, field.kind):
        raise problem
    return value


def _type_problem(field: Parameter, value: Any) -> str:
    """The problem with a value of a wrong type."""
    one, several = _KINDS[field.kind]
    if field.option.separator is None:
        return f"{field.flag} must be {one}, got {value!r}"
    if field.option.example is None:
        return f"{field.flag} must be a comma-separated list of {several}, got {value!r}"
    several = (field.option.metavar or several).strip("<>")
    return f"{field.flag} takes a comma-separated list of {several}, such as {field.option.example}; got {value!r}"


def _convert_pairs(field: Parameter, value: Any) -> Mapping[str, float] | None:
    """NAME=VALUE arguments, or a TOML table, as numbers by name."""
    pairs: Iterable[tuple[str, Any]]
    if isinstance(value, Mapping):
        pairs = value.items()
    else:
        pairs = [tuple(str(text).partition("=")[::2]) for text in value]  # type: ignore[misc]
    numbers = {}
    for name, number in pairs:
        try:
            numbers[name.strip()] = float(number)
        except (TypeError, ValueError):
            name = ""
        if not name.strip():
            raise CosfaceError(f"{field.flag} must be NAME=NUMBER, such as m1=1.35, got {value!r}")
    return numbers or None


_KINDS = {  # what messages call one value, and several
    str: ("text", "names"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    Path: ("a path", "paths"),
}


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """The parameter of a field, from its annotation: Annotated[T, Option], where T is one of the types that convert
    supports, or a union of such types."""
    option = next(note for note in annotation.__metadata__ if isinstance(note, Option))
    members = [_without_annotated(member) for member in _union_members(annotation.__origin__)]
    optional, members = NoneType in members, [member for member in members if member is not NoneType]
    several = [member for member in members if get_origin(member) is tuple]
    pairs = any(get_origin(member) is Mapping for member in members)
    inner = _without_annotated(get_args(several[0])[0]) if several else members[0]
    literal = get_args(inner) if get_origin(inner) is Literal else ()
    return Parameter(
        name=name,
        kind=float if pairs else str if literal else inner,
        optional=optional,
        several=bool(several),
        single=bool(several) and len(members) > 1,
        pairs=pairs,
        default=default,
        literal=literal,
        option=option,
    )


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _without_annotated(annotation: Any) -> Any:
    """The type within an Annotated; other types as they are."""
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation
