"""The package's source files, as the tests of its structure read them."""

from __future__ import annotations

import ast
from pathlib import Path

import cosface_cli

PACKAGE = Path(cosface_cli.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ("align", "train", "embed", "index", "verify")
ABOVE = "paper"  # runs the rooms


def module_name(path: Path) -> str:
    """The name by which a file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too; of names imported from a module also module.name."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules
