"""Each entry of each table implements the protocol that its table declares: mypy says so, over typed calls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import cosface_cli
from cosface_cli.registry import Table

pytest.importorskip("mypy")
ROOT = Path(cosface_cli.__file__).parent.parent
DECLARATION = re.compile(r"^([A-Z_]+): Table\[(.*)\] = Table\($", re.MULTILINE)

HEAD = """
from typing import Generic, TypeVar
from cosface_cli.registry import Table

T = TypeVar("T")


class EntriesOf(Generic[T]):
    def __init__(self, table: Table[T]) -> None: ...

    def accept(self, entry: T) -> None: ...

"""

NOT_A_LOSS = """
from collections.abc import Mapping
from typing import ClassVar
from torch import Tensor
from cosface_cli.losses.classifier import ClassifierHead


class Silent(ClassifierHead):
    DEFAULTS: ClassVar[Mapping[str, float]] = {}

    def margined(self, similarities: Tensor, own: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        return similarities

"""


def tables() -> dict[tuple[str, str], Table[Any]]:
    """By module and name; those that do not say what their entries are, as commands of Typer, are left out."""
    declared = {}
    for path in sorted(Path(cosface_cli.__file__).parent.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name, kind in DECLARATION.findall(path.read_text("utf-8")):
            if kind != "Any":
                declared[module, name] = getattr(import_module(module), name)
    return declared


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_entry_implements_the_protocol_of_its_table(tmp_path: Path) -> None:
    """One line of a generated program for each row. A loss without EQUATION and SOURCE is added, and refused."""
    lines, rows = HEAD.splitlines() + NOT_A_LOSS.splitlines(), {}
    for (module, name), table in tables().items():
        lines.append(f"from {module} import {name}")
        for row in table:
            target, _, attribute = row.target.partition(":")
            entry = f"entry_{len(lines)}"
            lines.append(f"from {target} import {attribute} as {entry}")
            lines.append(f"EntriesOf({name}).accept({entry})")
            rows[len(lines)] = f"{module}.{name}, row {row.name}"
    lines.append("EntriesOf(LOSSES).accept(Silent)")
    program = tmp_path / "entries.py"
    program.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(program)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    errors = [re.fullmatch(r".*entries\.py:(\d+): error: (.*)", line) for line in done.stdout.splitlines()]
    wrong = {int(error[1]): error[2] for error in errors if error}
    refused = wrong.pop(len(lines), "")
    assert "Silent" in refused and "Loss" in refused, f"a loss without EQUATION and SOURCE passes\n{done.stdout}"
    assert not {rows.get(line, lines[line - 1]): problem for line, problem in wrong.items()}, done.stdout
    assert len(rows) > 40 and done.returncode == 1, done.stdout + done.stderr
