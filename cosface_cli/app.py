"""Mounts the commands; the only place where an error becomes text and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from cosface_cli import __version__
from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Row, Table

ENVIRONMENT = "COSFACE"  # COSFACE_ALIGN_DETECTOR=... stands for cosface align --detector ...

COMMANDS: Table[Any] = Table(
    "command",
    Row("align", "cosface_cli.align.command:align", "Photos to aligned crops, with a manifest and named rejects."),
    Row("train", "cosface_cli.train.command:train", "Aligned crops to weights and a run record."),
    Row("embed", "cosface_cli.embed.command:embed", "Crops or photos to an HDF5 store of embeddings."),
    Row("index", "cosface_cli.index.command:app", "Stores to a search index; search it."),
    Row("verify", "cosface_cli.verify.command:verify", "Two photos, or a list of pairs, to scores and a decision."),
    Row("paper", "cosface_cli.paper.command:app", "The CosFace paper's figures and tables, run on your own crops."),
)

# words that stand where cosface embed and cosface verify expect their first file
STORE_COMMANDS: Table[Any] = Table(
    "store command",
    Row("info", "cosface_cli.embed.command:info", "What a store holds."),
    Row("merge", "cosface_cli.embed.command:merge", "Several stores to one."),
    Row("split", "cosface_cli.embed.command:split", "One store to several."),
)
VERIFY_COMMANDS: Table[Any] = Table(
    "verify command",
    Row(
        "calibrate",
        "cosface_cli.verify.calibration.command:calibrate",
        "What a model's scores mean, from people of your own.",
    ),
    Row("leakage", "cosface_cli.verify.leakage.command:leakage", "Photos and people of a training set in a test set."),
)
INNER = {"embed": STORE_COMMANDS, "verify": VERIFY_COMMANDS}


def main() -> None:
    """The command cosface."""
    if sys.stdout is None:  # closed by the shell: nobody wants the rows
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit code; errors that a person can mend become one line on stderr."""
    try:
        code = _invoked(arguments)
    except CosfaceError as error:
        return _failed(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "cosface"
        return _failed(f"{error.format_message().rstrip('.')}; see {where} --help")
    except typer.Abort:
        code = 130
    except Exception as error:  # a bug of ours keeps its traceback, and is no answer: exit code 1 would mean "no"
        import traceback

        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):  # Ctrl-C in the midst of an import
                return _interrupted()
            cause = cause.__cause__ or cause.__context__
        traceback.print_exc()
        return _failed("this is a bug of cosface, please report it with the lines above")
    if code == 130:
        return _interrupted()
    return code if isinstance(code, int) else 0


def mounted(*names: str, inner: tuple[str, str] | None = None) -> Any:
    """The command line with the named commands loaded; the others only stand in the help, which is quicker.

    inner: a command and the word of INNER that is mounted in its place.
    """
    app = typer.Typer(
        name="cosface",
        epilog="Exit codes: 0 done or yes, 1 no or nothing there, 2 failed, 3 done in part, 130 interrupted. "
        "Options also come from cosface.toml ([align] detector = ...) and from the environment "
        "(COSFACE_ALIGN_DETECTOR=...).",
        rich_markup_mode=None,  # plain help starts in half the time, and greps
        context_settings={"auto_envvar_prefix": ENVIRONMENT, "help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for row in COMMANDS:
        if inner is not None and row.name == inner[0]:
            group = typer.Typer(help=row.summary, rich_markup_mode=None)
            _mount(group, inner[1], INNER[row.name].load(inner[1]), None)
            app.add_typer(group, name=row.name)
        elif row.name not in names:
            app.command(row.name, help=row.summary)(_unloaded)
        else:
            _mount(app, row.name, COMMANDS.load(row.name), row.summary)
    command = typer.main.get_command(app)
    _hide_variables(command)
    return command


def _mount(app: typer.Typer, name: str, entry: Any, summary: str | None) -> None:
    from cosface_cli.command_line import Command, Group, mount

    if isinstance(entry, (Command, Group)):
        mount(app, name, entry, summary)
    elif isinstance(entry, typer.Typer):
        app.add_typer(entry, name=name, short_help=summary)
    else:
        app.command(name, short_help=summary)(entry)


def _invoked(arguments: list[str]) -> Any:
    defaults = None
    asking = not arguments or not {"-h", "--help", "--version"}.isdisjoint(arguments)
    if not asking and (os.environ.get("COSFACE_CONFIG") or os.path.exists("cosface.toml")):  # noqa: PTH110
        from cosface_cli import config_file

        whole = mounted(*COMMANDS.names)
        defaults = _listed(config_file.from_file(config_file.path(), _flags(whole)), whole)
    completing = f"_{ENVIRONMENT}_COMPLETE" in os.environ
    wanted = COMMANDS.names if completing else [word for word in arguments if word in COMMANDS]
    command = mounted(*wanted, inner=_inner(arguments))
    return command.main(arguments or ["--help"], prog_name="cosface", standalone_mode=False, default_map=defaults)


def _inner(arguments: list[str]) -> tuple[str, str] | None:
    """The words of `cosface embed info ...`. Raises CosfaceError where a file or folder is called so too."""
    command, word = (*arguments[:2], "", "")[:2]
    if command not in INNER or word not in INNER[command]:
        return None
    if os.path.lexists(word):
        raise CosfaceError(
            f"is this the command, or {word} of this folder?",
            f"{command} {word}",
            f"write ./{word} to {command} it; for the command go to another folder",
        )
    return command, word


def _interrupted() -> int:
    from cosface_cli.console import say

    say("cosface: interrupted; what was written stays")
    return 130


def _failed(words: str) -> int:
    from cosface_cli.console import say
    from cosface_cli.outcomes import EXIT_FAILED

    say(f"cosface: {words}")
    return EXIT_FAILED


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cosface {__version__}")
        raise typer.Exit()


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Face recognition on the command line: align photos, train, embed, index and verify."""


def _unloaded() -> None:
    raise AssertionError("a command that was named is loaded")


def _hide_variables(command: Any) -> None:
    """Every option has its variable, by one rule that the epilog tells: not each in the help."""
    for parameter in command.params:
        parameter.show_envvar = False
        if parameter.name == "version":  # COSFACE_VERSION is often set, and not for us
            parameter.allow_from_autoenv = False
        if getattr(parameter, "multiple", False):  # a path may have blanks
            parameter.split_envvar_value = _split_variable
    for inner in getattr(command, "commands", {}).values():
        _hide_variables(inner)


def _split_variable(variable: str) -> list[str]:
    """The values of an environment variable that stands for a repeatable option, separated as in $PATH."""
    return variable.split(os.pathsep)


def _listed(values: dict[str, Any], command: Any) -> dict[str, Any]:
    """The same values, a single one of an option that may be given again as a list of it."""
    inner = getattr(command, "commands", {})
    several = {parameter.name for parameter in command.params if getattr(parameter, "multiple", False)}
    singles = {name: [value] for name, value in values.items() if name in several and not isinstance(value, list)}
    groups = {name: _listed(value, inner[name]) for name, value in values.items() if name in inner}
    return {**values, **singles, **groups}


def _flags(command: Any) -> dict[str, Any]:
    """By name, the commands of a group, and the options and arguments of a command with their parameters' names."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        return {name: _flags(sub) for name, sub in inner.items()}
    flags = {parameter.name.replace("_", "-"): parameter.name for parameter in command.params}
    for parameter in command.params:
        flags.update({flag[2:]: parameter.name for flag in parameter.opts if flag.startswith("--")})
    return flags
