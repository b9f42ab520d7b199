"""examples/cli.md: the help of every command, as one page.

python -m cosface_cli.reference > examples/cli.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from cosface_cli.app import COMMANDS, SUB_COMMANDS, load_commands

WIDTH = 100  # columns of a help text

HEAD = """# Commands

This page is generated from the options of the configs: `python -m cosface_cli.reference > examples/cli.md`.
Every option can also be set in cosface.toml (`[align]` then `min-face = 40`) or by an environment variable
(`COSFACE_ALIGN_MIN_FACE=40`). A flag overrides a variable, and a variable overrides the file.
"""


def reference() -> str:
    """The page as Markdown."""
    sections = [HEAD]
    for path, help_text in _helps():
        sections.append(f"## {path}\n\n```text\n{help_text.rstrip()}\n```\n")
    return "\n".join(sections)


def _helps() -> Iterator[tuple[str, str]]:
    """Each command with its help, groups before their commands."""
    yield from _walk(load_commands(*COMMANDS.names), "cosface", None)
    for name, table in SUB_COMMANDS.items():
        for row in table:
            group = load_commands(sub_command=(name, row.name)).commands[name]
            yield from _walk(group.commands[row.name], f"cosface {name} {row.name}", None)


def _walk(command: Any, path: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = typer.Context(
        command, info_name=path, help_option_names=["-h", "--help"], terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield path, command.get_help(context)
    for name, sub in getattr(command, "commands", {}).items():
        yield from _walk(sub, f"{path} {name}", context)


if __name__ == "__main__":
    sys.stdout.write(reference())
