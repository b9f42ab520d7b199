"""The command cosface: mounts the commands, and is the only place where an error becomes text and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosface_cli import __version__
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    from cosface_cli.command_line import Command, Group

ENVIRONMENT = "COSFACE"  # COSFACE_ALIGN_DETECTOR=x is the same as cosface align --detector x

COMMANDS: Table[Command | Group] = Table(
    "command",
    Row("align", "cosface_cli.align.command:align", "Photos to aligned crops, with a manifest and named rejects."),
    Row("train", "cosface_cli.train.command:train", "Aligned crops to weights and a run record."),
    Row("embed", "cosface_cli.embed.command:embed", "Crops or photos to an HDF5 store of embeddings."),
    Row("index", "cosface_cli.index.command:INDEX", "Stores to a search index; search it."),
    Row("verify", "cosface_cli.verify.command:verify", "Two photos, or a list of pairs, to scores and a decision."),
    Row("paper", "cosface_cli.paper.command:paper", "The CosFace paper's figures and tables, run on your own crops."),
)

# sub-commands of embed and verify; as an argument they stand in the place of the first file
STORE_COMMANDS: Table[Command | Group] = Table(
    "store command",
    Row("info", "cosface_cli.embed.command:info", "What a store holds."),
    Row("merge", "cosface_cli.embed.command:merge", "Several stores to one."),
    Row("split", "cosface_cli.embed.command:split", "One store to several."),
)
VERIFY_COMMANDS: Table[Command | Group] = Table(
    "verify command",
    Row("calibrate", "cosface_cli.verify.calibration.command:calibrate", "Thresholds of a model from your own people."),
    Row("leakage", "cosface_cli.verify.leakage.command:leakage", "Photos and people of a training set in a test set."),
)
SUB_COMMANDS = {"embed": STORE_COMMANDS, "verify": VERIFY_COMMANDS}


def main() -> None:
    """The command cosface."""
    if sys.stdout is None:  # closed by the shell
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = EXIT_DONE
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. An error that a user can fix becomes one line on stderr."""
    try:
        code = _invoke(arguments)
    except CosfaceError as error:
        return _report_error(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command_path = context.command_path if context is not None else "cosface"
        return _report_error(f"{error.format_message().rstrip('.')}; see {command_path} --help")
    except typer.Abort:
        code = EXIT_INTERRUPTED
    except Exception as error:  # a bug keeps its traceback; exit code 2, because 1 would mean "no"
        import traceback

        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):  # Ctrl-C during an import
                return _report_interrupt()
            cause = cause.__cause__ or cause.__context__
        traceback.print_exc()
        return _report_error("this is a bug of cosface, please report it with the lines above")
    if code == EXIT_INTERRUPTED:
        return _report_interrupt()
    return code if isinstance(code, int) else EXIT_DONE


def load_commands(*names: str, sub_command: tuple[str, str] | None = None, only: Collection[str] | None = None) -> Any:
    """The command line with the named commands; the others are only listed in the help, which is faster.

    sub_command: a command and its sub-command, such as ("embed", "info"), which is mounted instead of the command.
    only: the commands of groups that can be run, None for all.
    """
    if names or sub_command is not None:  # the list of commands alone is faster without
        from cosface_cli.command_line import mount
    app = typer.Typer(
        name="cosface",
        epilog="Exit codes: 0 done or yes, 1 no or nothing there, 2 failed, 3 done in part, 130 interrupted. "
        "Options can also be set in cosface.toml ([align] detector = ...) and by environment variables "
        "(COSFACE_ALIGN_DETECTOR=...).",
        rich_markup_mode=None,  # plain help starts in half the time
        context_settings={"auto_envvar_prefix": ENVIRONMENT, "help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for row in COMMANDS:
        if sub_command is not None and row.name == sub_command[0]:
            group = typer.Typer(help=row.summary, rich_markup_mode=None)
            mount(group, sub_command[1], SUB_COMMANDS[row.name].load(sub_command[1]))
            app.add_typer(group, name=row.name)
        elif row.name not in names:
            app.command(row.name, help=row.summary)(lambda: None)
        else:
            mount(app, row.name, COMMANDS.load(row.name), row.summary, only)
    command = typer.main.get_command(app)
    _set_environment_variables(command)
    return command


def _invoke(arguments: list[str]) -> Any:
    defaults = None
    asks_for_help = not arguments or not {"-h", "--help", "--version"}.isdisjoint(arguments)
    if not asks_for_help and (os.environ.get("COSFACE_CONFIG") or os.path.exists("cosface.toml")):  # noqa: PTH110
        from cosface_cli import config_file

        complete = load_commands(*COMMANDS.names)
        defaults = _with_lists(config_file.from_file(config_file.path(), _flags(complete)), complete)
    is_completion = f"_{ENVIRONMENT}_COMPLETE" in os.environ
    names = COMMANDS.names if is_completion else [word for word in arguments if word in COMMANDS]
    command = load_commands(*names, sub_command=_sub_command(arguments), only=None if is_completion else set(arguments))
    return command.main(arguments or ["--help"], prog_name="cosface", standalone_mode=False, default_map=defaults)


def _sub_command(arguments: list[str]) -> tuple[str, str] | None:
    """The words of `cosface embed info ...`. Raises CosfaceError where a file or folder has that name too."""
    command, word = (*arguments[:2], "", "")[:2]
    if command not in SUB_COMMANDS or word not in SUB_COMMANDS[command]:
        return None
    if os.path.lexists(word):
        raise CosfaceError(
            f"this is a command, and {word} is also a file or folder here",
            f"{command} {word}",
            f"write ./{word} for the file; run the command from another folder",
        )
    return command, word


def _report_interrupt() -> int:
    from cosface_cli.console import say

    say("cosface: interrupted; what was written is kept")
    return EXIT_INTERRUPTED


def _report_error(text: str) -> int:
    from cosface_cli.console import say

    say(f"cosface: {text}")
    return EXIT_FAILED


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"cosface {__version__}")
        raise typer.Exit()


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Face recognition on the command line: align photos, train, embed, index and verify."""


def _set_environment_variables(command: Any) -> None:
    """Set how options are read from environment variables. The epilog has the rule for their names, so the help of an
    option does not show them."""
    for parameter in command.params:
        parameter.show_envvar = False
        if parameter.name == "version":  # COSFACE_VERSION may be set for other reasons
            parameter.allow_from_autoenv = False
    for sub in getattr(command, "commands", {}).values():
        _set_environment_variables(sub)


def _with_lists(values: dict[str, Any], command: Any) -> dict[str, Any]:
    """The values of a config file, where a single value of a repeatable option becomes a list."""
    sub_commands = getattr(command, "commands", {})
    repeatable = {parameter.name for parameter in command.params if getattr(parameter, "multiple", False)}
    lists = {name: [value] for name, value in values.items() if name in repeatable and not isinstance(value, list)}
    groups = {name: _with_lists(value, sub_commands[name]) for name, value in values.items() if name in sub_commands}
    return {**values, **lists, **groups}


def _flags(command: Any) -> dict[str, Any]:
    """The flags and arguments of a command, each with its parameter's name; of a group, the same for each command."""
    sub_commands = getattr(command, "commands", None)
    if sub_commands is not None:
        return {name: _flags(sub) for name, sub in sub_commands.items()}
    flags = {parameter.name.replace("_", "-"): parameter.name for parameter in command.params}
    for parameter in command.params:
        flags.update({flag[2:]: parameter.name for flag in parameter.opts if flag.startswith("--")})
    return flags
