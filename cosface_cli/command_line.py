"""Commands made from configs: flags, help, defaults, groups and examples come from the options of their fields.

    @command(AlignConfig, examples=("cosface align ./raw ./aligned",))
    def align(config: AlignConfig, terminal: Terminal) -> int:
        \"\"\"Find the faces of photos and cut them out aligned.\"\"\"

The function gets a checked config of each class, and the terminal. It returns the exit code. Its docstring is the help
text.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass
from datetime import date
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from cosface_cli.console import Terminal
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Parameter, convert, default_text, parameters

C = TypeVar("C")
_VALUES = {str: "<text>", int: "<int>", float: "<number>", Path: "<path>"}
_LONGEST_CHOICE = 30  # characters of "a|b|c" beside a flag; longer ones stand in the help text only


@dataclass(frozen=True, slots=True)
class OptionValues:
    """The values that a user gave: by flag, by environment variable or in cosface.toml."""

    configs: tuple[type, ...]
    """The config classes that the command can build."""
    values: Mapping[str, Any]
    """By field name; without the fields that the user did not set."""

    def config(self, kind: type[C], choice: str | None = None, allowed: Collection[str] = (), **extra: Any) -> C:
        """A config built from the values.

        choice: what the user chose, such as "--protocol lfw". Then a value without a field in `kind` is an error,
        except for defaults and for the fields in `allowed`, which the command uses itself. extra: fields that the
        command sets. Raises CosfaceError naming the flag.
        """
        names = {parameter.name for parameter in parameters(kind)}
        if choice is not None:
            for name in self.values:
                if name not in names and name not in _TERMINAL and name not in allowed and self.changes(name):
                    raise CosfaceError(f"{self.flag(name)} is not an option of {choice}", hint="leave it out")
        return kind(**{name: value for name, value in self.values.items() if name in names}, **extra)

    def changes(self, name: str) -> bool:
        """Whether the value of a field is not its default."""
        fields = (field for kind in self.configs for field in parameters(kind) if field.name == name)
        return all(self.values[name] != field.default for field in fields)

    def flag(self, name: str) -> str:
        """The flag of a field."""
        return next(parameter.flag for kind in self.configs for parameter in parameters(kind) if parameter.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command."""

    function: Callable[..., int | None]
    configs: Callable[[], tuple[type, ...]]
    """The config classes whose fields are its options; called when the command is mounted."""
    examples: tuple[str, ...]
    """Command lines for the end of the help."""
    takes_values: bool = False
    """Whether the function gets OptionValues instead of configs, because it chooses which config to build."""


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one word, such as cosface index build."""

    help: str
    commands: Mapping[str, Command | Group]


def command(*configs: type, examples: tuple[str, ...]) -> Callable[[Callable[..., int | None]], Command]:
    """A command whose function gets one config of each class, and the terminal."""
    return lambda function: Command(function=function, configs=lambda: configs, examples=examples)


def multi_config_command(
    configs: Callable[[], tuple[type, ...]], examples: tuple[str, ...]
) -> Callable[[Callable[..., int | None]], Command]:
    """A command that builds one of several configs. Its function gets OptionValues, and the terminal."""
    return lambda function: Command(function=function, configs=configs, examples=examples, takes_values=True)


def mount(
    app: typer.Typer,
    name: str,
    entry: Command | Group,
    summary: str | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Add a command or a group to a Typer application.

    summary: its line in the list of commands. only: the commands of groups that can be run, None for all; the others
    are only listed in the help, which is faster.
    """
    if isinstance(entry, Group):
        group = typer.Typer(help=entry.help, rich_markup_mode=None)
        for inner, sub in entry.commands.items():
            if only is None or inner in only or isinstance(sub, Group):
                mount(group, inner, sub, only=only)
            else:
                group.command(inner, help=sub.function.__doc__)(listed_only)
        app.add_typer(group, name=name, short_help=summary)
    else:
        by_name = _parameters(entry)
        app.command(name, cls=_command_class(entry, by_name), short_help=summary)(_function(entry, by_name))


def listed_only() -> None:
    """Stands for a command that the help lists, but that cannot be run."""
    raise AssertionError("only listed in the help: mount the command to run it")


_TERMINAL = {parameter.name for parameter in parameters(Terminal)}


def _parameters(entry: Command) -> dict[str, Parameter]:
    """The parameters by their names in the signature. If configs share a field, the first config's is used."""
    by_name: dict[str, Parameter] = {}
    for kind in (*entry.configs(), Terminal):
        for parameter in parameters(kind):
            by_name.setdefault(_signature_name(parameter), parameter)
    return by_name


def _signature_name(parameter: Parameter) -> str:
    """The name in the function's signature, which is also the key in cosface.toml: that of the long flag."""
    if parameter.option.positional:
        return parameter.name
    long = [flag for flag in parameter.option.flags if flag.startswith("--")]
    flag = (long or [parameter.flag])[0].partition("/")[0]
    name = flag.lstrip("-").replace("-", "_")
    return parameter.name if iskeyword(name) else name  # a keyword such as `from` cannot name a Python parameter


def _function(entry: Command, by_name: Mapping[str, Parameter]) -> Callable[..., int | None]:
    """The function that Typer calls, with a signature made from the options."""

    def run(**arguments: Any) -> int | None:
        values = OptionValues(
            entry.configs(),
            {
                by_name[name].name: convert(by_name[name], value)
                for name, value in arguments.items()
                if _is_set(by_name[name], value)
            },
        )
        terminal = values.config(Terminal)
        if entry.takes_values:
            return entry.function(values, terminal)
        return entry.function(*(values.config(kind) for kind in entry.configs()), terminal)

    ordered = sorted(by_name.items(), key=lambda pair: not pair[1].option.positional)
    annotations = {name: _annotation(parameter) for name, parameter in ordered}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if _is_required(parameter) else None,
                annotation=annotations[name],
            )
            for name, parameter in ordered
        ]
    )
    run.__annotations__ = annotations
    run.__doc__ = entry.function.__doc__
    run.__name__ = entry.function.__name__
    return run


def _is_set(parameter: Parameter, value: Any) -> bool:
    return value is not None and not (isinstance(value, (list, tuple)) and not value and not parameter.option.separator)


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is MISSING


def _annotation(parameter: Parameter) -> Any:
    """The annotation from which Typer makes an option or an argument. Typer does not convert values: convert() does."""
    option = parameter.option
    many = (parameter.several or parameter.pairs) and not option.separator
    kind: Any = bool if parameter.kind is bool else list[Any] if many else Any
    if not _is_required(parameter):
        kind = kind | None if kind is not Any else Any
    settings: dict[str, Any] = {"help": _help(parameter), "show_default": False}
    if parameter.kind is not bool:
        parser = _as_text if parameter.kind is str and not option.separator else _unconverted
        settings |= {"parser": parser, "metavar": _metavar(parameter)}
    info = typer.Argument(**settings) if option.positional else typer.Option(*_flags(parameter), **settings)
    return Annotated[kind, info]


def _unconverted(value: Any) -> Any:
    return value


def _as_text(value: Any) -> Any:
    """Numbers and dates of cosface.toml as text: identity = 7303, since = 2024-01-01."""
    return str(value) if isinstance(value, (int, float, date)) and not isinstance(value, bool) else value


def _flags(parameter: Parameter) -> tuple[str, ...]:
    if parameter.option.flags:
        return parameter.option.flags
    if parameter.kind is bool and (parameter.optional or parameter.default is True):
        return (f"{parameter.flag}/--no-{parameter.flag[2:]}",)
    return (parameter.flag,)


def _metavar(parameter: Parameter) -> str:
    if parameter.option.metavar is not None:
        return parameter.option.metavar
    choices = "|".join(parameter.choices)
    if choices and len(choices) <= _LONGEST_CHOICE:
        return f"<{choices}>"
    return "NAME=NUMBER" if parameter.pairs else _VALUES[parameter.kind]


def _help(parameter: Parameter) -> str:
    """The help text, then the default and the range."""
    option = parameter.option
    notes = [option.range_text] if option.range_text else []
    default = parameter.default
    if option.unset is not None and (default in (None, MISSING, ()) or default is False):
        notes.insert(0, f"default: {option.unset}")
    elif default not in (None, MISSING, ()) and default is not False:
        notes.insert(0, f"default: {default_text(default)}")
    return f"{parameter.help}  [{'; '.join(notes)}]" if notes else parameter.help


def _split_paths(variable: str) -> list[str]:
    """The paths in an environment variable, separated as in $PATH, since a path may contain blanks."""
    return variable.split(os.pathsep)


def _command_class(entry: Command, by_name: Mapping[str, Parameter]) -> type[TyperCommand]:
    """A command whose help lists the options by group and ends with the examples."""

    class CommandWithGroupedHelp(TyperCommand):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            for option in self.params:
                parameter = by_name.get(option.name or "")
                if parameter is not None and (parameter.kind is Path or parameter.option.known is not None):
                    option.split_envvar_value = _split_paths  # type: ignore[assignment, method-assign]

        def format_options(self, ctx: Any, formatter: Any) -> None:
            groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
            last: list[tuple[str, str]] = []
            for typer_parameter in self.get_params(ctx):
                record = typer_parameter.get_help_record(ctx)
                if record is None:
                    continue
                parameter = by_name.get(typer_parameter.name or "")
                if parameter is None or parameter.name in _TERMINAL:
                    last.append(record)
                elif parameter.option.positional:
                    groups["Arguments"].append((_metavar(parameter) + "..." * parameter.several, record[1]))
                else:
                    groups.setdefault(parameter.option.group, []).append(record)
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

    return CommandWithGroupedHelp
