"""Commands made from configs: flags, help, defaults, groups and examples come from the options of their fields.

    @command(AlignConfig, examples=("cosface align ./raw ./aligned",))
    def align(config: AlignConfig, terminal: Terminal) -> int:
        \"\"\"Find the faces of photos and cut them out aligned.\"\"\"

The function gets one config for each class named, checked, and the terminal; what it returns is the exit code. Its
docstring is the help text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from cosface_cli.console import Terminal
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Parameter, convert, default_in_words, parameters

C = TypeVar("C")
_VALUES = {str: "<text>", int: "<int>", float: "<number>", Path: "<path>"}
_LONGEST_CHOICE = 30  # characters of "a|b|c" beside a flag; longer ones stand in the help text only


@dataclass(frozen=True, slots=True)
class Given:
    """The values that a user gave: by flag, by environment variable or in cosface.toml."""

    configs: tuple[type, ...]
    """Those that the command can build."""
    values: Mapping[str, Any]
    """By field name; fields that were not given are missing."""

    def config(self, kind: type[C], beside: str | None = None, allowed: Collection[str] = (), **filled: Any) -> C:
        """A config built from the values.

        beside: what the user chose, such as "--protocol lfw": then a value that kind has no field for is an error, but
        for the fields in `allowed`, which the command uses itself. filled: fields that the command sets. Raises
        CosfaceError naming the flag.
        """
        names = {found.name for found in parameters(kind)}
        if beside is not None:
            for name in self.values:
                if name not in names and name not in _TERMINAL and name not in allowed:
                    raise CosfaceError(f"{self.flag(name)} is not an option of {beside}", hint="leave it out")
        return kind(**{name: value for name, value in self.values.items() if name in names}, **filled)

    def flag(self, name: str) -> str:
        """The flag of a field."""
        return next(found.flag for kind in self.configs for found in parameters(kind) if found.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command."""

    function: Callable[..., int | None]
    configs: Callable[[], tuple[type, ...]]
    """The config classes whose fields are its options; called when the command is mounted."""
    examples: tuple[str, ...]
    """Command lines that the help ends with."""
    takes_given: bool = False
    """Whether the function chooses among the configs itself: it gets Given in their place."""


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one word, such as cosface index build."""

    help: str
    commands: Mapping[str, Command | Group]


def command(*configs: type, examples: tuple[str, ...]) -> Callable[[Callable[..., int | None]], Command]:
    """A command whose function gets one config of each class, and the terminal."""
    return lambda function: Command(function=function, configs=lambda: configs, examples=examples)


def command_of(
    configs: Callable[[], tuple[type, ...]], examples: tuple[str, ...]
) -> Callable[[Callable[..., int | None]], Command]:
    """A command that can build one of several configs: its function gets Given, and the terminal."""
    return lambda function: Command(function=function, configs=configs, examples=examples, takes_given=True)


def mount(
    app: typer.Typer,
    name: str,
    entry: Command | Group,
    summary: str | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Add a command or a group to a Typer application. summary: its line in the list of commands; only: the names of
    the commands of groups that may be run, None for all; the others are listed in the help only, which is faster."""
    if isinstance(entry, Group):
        group = typer.Typer(help=entry.help, rich_markup_mode=None)
        for inner, sub in entry.commands.items():
            if only is None or inner in only or isinstance(sub, Group):
                mount(group, inner, sub, only=only)
            else:
                group.command(inner, help=sub.function.__doc__)(_listed_only)
        app.add_typer(group, name=name, short_help=summary)
    else:
        by_word = _parameters(entry)
        app.command(name, cls=_command_class(entry, by_word), short_help=summary)(_function(entry, by_word))


def _listed_only() -> None:
    raise AssertionError("a command that is run was mounted before")


_TERMINAL = {found.name for found in parameters(Terminal)}


def _parameters(entry: Command) -> dict[str, Parameter]:
    """By name on the command line; of configs that share a field the first one counts."""
    ordered: dict[str, Parameter] = {}
    for kind in (*entry.configs(), Terminal):
        for found in parameters(kind):
            ordered.setdefault(_word(found), found)
    return ordered


def _word(parameter: Parameter) -> str:
    if parameter.option.positional:
        return parameter.name
    long = [flag for flag in parameter.option.flags if flag.startswith("--")]
    flag = (long or [parameter.flag])[0].partition("/")[0]
    word = flag.lstrip("-").replace("-", "_")
    return parameter.name if iskeyword(word) else word  # --from: it names a Python parameter


def _function(entry: Command, known: Mapping[str, Parameter]) -> Callable[..., int | None]:
    """The function that Typer calls, with a signature made from the options."""

    def run(**words: Any) -> int | None:
        values = {
            known[word].name: convert(known[word], value)
            for word, value in words.items()
            if _is_given(known[word], value)
        }
        given = Given(entry.configs(), values)
        terminal = given.config(Terminal)
        if entry.takes_given:
            return entry.function(given, terminal)
        return entry.function(*(given.config(kind) for kind in entry.configs()), terminal)

    ordered = sorted(known.items(), key=lambda pair: not pair[1].option.positional)
    annotations = {word: _annotation(found) for word, found in ordered}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                word,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if _is_required(found) else None,
                annotation=annotations[word],
            )
            for word, found in ordered
        ]
    )
    run.__annotations__ = annotations
    run.__doc__ = entry.function.__doc__
    run.__name__ = entry.function.__name__
    return run


def _is_given(parameter: Parameter, value: Any) -> bool:
    return value is not None and not (isinstance(value, (list, tuple)) and not value and not parameter.option.separator)


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is MISSING


def _annotation(parameter: Parameter) -> Any:
    """The annotation that Typer makes an option or an argument of. Values pass as they are; convert() reads them."""
    said = parameter.option
    many = (parameter.several or parameter.pairs) and not said.separator
    kind: Any = bool if parameter.kind is bool else list[Any] if many else Any
    if not _is_required(parameter):
        kind = kind | None if kind is not Any else Any
    shown: dict[str, Any] = {"help": _help(parameter), "show_default": False}
    if parameter.kind is not bool:
        shown |= {"parser": _as_it_is, "metavar": _metavar(parameter)}
    info = typer.Argument(**shown) if said.positional else typer.Option(*_flags(parameter), **shown)
    return Annotated[kind, info]


def _as_it_is(value: Any) -> Any:
    return value


def _flags(parameter: Parameter) -> tuple[str, ...]:
    if parameter.option.flags:
        return parameter.option.flags
    if parameter.kind is bool and (parameter.optional or parameter.default is True):
        return (f"{parameter.flag}/--no-{parameter.flag[2:]}",)
    return (parameter.flag,)


def _metavar(parameter: Parameter) -> str:
    said = parameter.option
    if said.metavar is not None:
        return said.metavar
    choices = "|".join(parameter.choices)
    if choices and len(choices) <= _LONGEST_CHOICE:
        return f"<{choices}>"
    return "NAME=NUMBER" if parameter.pairs else _VALUES[parameter.kind]


def _help(parameter: Parameter) -> str:
    """The help text, then what applies where the option is left out, and the range."""
    said = parameter.option
    notes = [words] if (words := said.range_in_words) else []
    default = parameter.default
    if said.unset is not None and (default in (None, MISSING, ()) or default is False):
        notes.insert(0, f"default: {said.unset}")
    elif default not in (None, MISSING, ()) and default is not False:
        notes.insert(0, f"default: {default_in_words(default)}")
    return f"{parameter.help}  [{'; '.join(notes)}]" if notes else parameter.help


def _command_class(entry: Command, known: Mapping[str, Parameter]) -> type[TyperCommand]:
    """A command whose help lists the options by group and ends with the examples."""

    class HelpedCommand(TyperCommand):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
            last: list[tuple[str, str]] = []
            for shown in self.get_params(ctx):
                record = shown.get_help_record(ctx)
                if record is None:
                    continue
                found = known.get(shown.name or "")
                if found is None or found.name in _TERMINAL:
                    last.append(record)
                else:
                    if found.option.positional:
                        groups["Arguments"].append((_metavar(found) + "..." * found.several, record[1]))
                    else:
                        groups.setdefault(found.option.group, []).append(record)
            output = [*groups.pop("Output", []), *last]
            for title, records in {**groups, "Output": output}.items():
                if records:
                    with formatter.section(title):
                        formatter.write_dl(records)

        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            if entry.examples:
                with formatter.section("Examples"):
                    for example in entry.examples:
                        formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    return HelpedCommand
