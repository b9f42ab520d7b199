"""Mounts the commands; the only place where an error becomes text and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cosface_cli import __version__, options
from cosface_cli.align.command import align
from cosface_cli.console import say
from cosface_cli.embed.command import embed
from cosface_cli.errors import CosfaceError
from cosface_cli.index.command import app as index
from cosface_cli.outcomes import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from cosface_cli.train.command import train
from cosface_cli.verify.command import verify

app = typer.Typer(
    name="cosface",
    help="Face recognition on the command line: align photos, train, embed, index and verify.",
    epilog="Exit codes: 0 done or yes, 1 no or nothing there, 2 failed, 3 done in part, 130 interrupted.",
    rich_markup_mode=None,  # plain help starts in half the time, and greps
    add_completion=True,
    context_settings={"auto_envvar_prefix": options.ENVIRONMENT, "help_option_names": ["-h", "--help"]},
)
app.command("align")(align)
app.command("train")(train)
app.command("embed")(embed)
app.add_typer(index, name="index")
app.command("verify")(verify)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cosface {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Face recognition on the command line: align photos, train, embed, index and verify."""


def main() -> None:
    """The command cosface."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit code; errors that a person can mend become one line on stderr."""
    try:
        command: Any = typer.main.get_command(app)
        path = options.config_path()
        defaults = options.from_file(path, _flags(command)) if path else None
        code = command.main(arguments or ["--help"], prog_name="cosface", standalone_mode=False, default_map=defaults)
    except CosfaceError as error:
        say(f"cosface: {error}")
        return EXIT_FAILED
    except typer.TyperException as error:
        say(f"cosface: {_usage(error)}")
        return EXIT_FAILED
    except typer.Abort:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        say("cosface: interrupted; what was written stays, the same command goes on from there")
    return code if isinstance(code, int) else EXIT_DONE


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "cosface"
    words = error.format_message().rstrip(".")
    return f"{words}; see {where} --help"


def _flags(command: Any) -> dict[str, Any]:
    """By name, the commands of a group, and the options and arguments of a command with their parameters' names."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        return {name: _flags(sub) for name, sub in inner.items()}
    flags = {parameter.name.replace("_", "-"): parameter.name for parameter in command.params}
    for parameter in command.params:
        flags.update({flag[2:]: parameter.name for flag in parameter.opts if flag.startswith("--")})
    return flags
