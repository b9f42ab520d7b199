"""The layout of the package: rooms open the same way, folders stay small, a file name has one meaning."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import cosface_cli
from tests.source_files import ABOVE, MODULES, PACKAGE, ROOMS, module_name

PARTS = sorted({path.parent for path in MODULES})
ENTRIES = 13  # of a folder, without __init__.py: more cannot be taken in at a glance
LINES = 350
MANY_FIELDS = 6
SAME = {"__init__", "command", "stage"}  # names that mean the same in every room


@pytest.mark.parametrize("room", [*ROOMS, ABOVE])
def test_every_room_opens_the_same_way(room: str) -> None:
    names = {path.name for path in (PACKAGE / room).iterdir()}
    assert {"__init__.py", "command.py"} <= names
    assert room == ABOVE or "stage.py" in names


@pytest.mark.parametrize("folder", PARTS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    if folder == PACKAGE or folder.parts[len(PACKAGE.parts)] in ("losses", "backbones", "maths"):
        return  # a loss, a family of networks or a formula a file: a list, not a structure
    entries = [path for path in folder.iterdir() if path.name not in ("__init__.py", "__pycache__")]
    assert len(entries) <= ENTRIES, sorted(path.name for path in entries)


@pytest.mark.parametrize("folder", PARTS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_folder_says_what_it_holds(folder: Path) -> None:
    door = folder / "__init__.py"
    assert door.is_file() and (folder == PACKAGE or ast.get_docstring(ast.parse(door.read_text("utf-8"))))


def test_a_file_name_stands_in_one_room() -> None:
    places = defaultdict(set)
    for path in MODULES:
        parts = path.relative_to(PACKAGE).parts
        if len(parts) > 1 and path.stem not in SAME:
            places[path.stem].add(parts[0])
    assert {name: sorted(rooms) for name, rooms in places.items() if len(rooms) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_hold_one_idea(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_large_dataclasses_are_built_by_keyword(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and (how := _dataclass(node)) is not None:
            fields = [
                n for n in node.body if isinstance(n, ast.AnnAssign) and "ClassVar" not in ast.unparse(n.annotation)
            ]
            assert len(fields) < MANY_FIELDS or "kw_only=True" in how, node.name


def _dataclass(node: ast.ClassDef) -> str | None:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return next((text for text in decorators if re.match(r"dataclass\b", text)), None)


def test_imports_have_no_cycle() -> None:
    """Also not inside functions and for types only."""
    names = {module_name(path): path for path in MODULES}
    graph = {name: _imported(path, names) - {name} for name, path in names.items()}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " -> ".join([*trail[trail.index(name) :], name])
        if name not in state:
            state[name] = 1
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            state[name] = 2

    for name in sorted(graph):
        visit(name, ())


def _imported(path: Path, names: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in whole}
    return found & set(names)


def test_the_map_names_every_folder() -> None:
    text = Path(cosface_cli.__file__).with_name("README.md").read_text("utf-8")
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert not {name for name in folders if f"`{name}/`" not in text}
