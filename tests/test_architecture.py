"""The rules of the house, each held by a test: what may import what, what is light, where tables point."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Table
from tests.source_files import ABOVE, MODULES, ROOMS, imports, module_name

HEAVY = {"torch", "cv2", "h5py", "onnxruntime", "onnx", "faiss", "insightface", "scipy", "PIL", "simplejpeg", "numpy"}
HEAVY |= {"rich", "pydantic", "jinja2", "matplotlib"}
TESTS = Path(__file__).parent
TABLES = [
    ("cosface_cli.app", "COMMANDS"),
    ("cosface_cli.app", "STORE_COMMANDS"),
    ("cosface_cli.app", "VERIFY_COMMANDS"),
    ("cosface_cli.losses", "LOSSES"),
    ("cosface_cli.backbones", "BACKBONES"),
    ("cosface_cli.engines.detectors", "DETECTORS"),
    ("cosface_cli.engines.embedders", "EMBEDDERS"),
    ("cosface_cli.engines.runners", "RUNNERS"),
    ("cosface_cli.engines.search", "SEARCHERS"),
    ("cosface_cli.engines.sources", "SOURCES"),
    ("cosface_cli.index.upkeep", "EXPORTS"),
    ("cosface_cli.paper.stage", "FIGURES"),
    ("cosface_cli.train.crops", "AUGMENTATIONS"),
    ("cosface_cli.train.crops", "SAMPLERS"),
    ("cosface_cli.train.step", "OPTIMIZERS"),
    ("cosface_cli.train.step", "SCHEDULES"),
    ("cosface_cli.verify.protocols", "PROTOCOLS"),
]
CHOICES = [(module, name, row.name) for module, name in TABLES for row in getattr(import_module(module), name)]


def loaded_by(statement: str) -> set[str]:
    """The top-level modules in a fresh interpreter after a statement."""
    code = f"import sys; {statement}; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_rooms_never_import_each_other(path: Path) -> None:
    name = module_name(path)
    room = next((r for r in ROOMS if name.startswith(f"cosface_cli.{r}")), None)
    if room is None:
        return
    others = tuple(f"cosface_cli.{r}" for r in (*ROOMS, ABOVE) if r != room)
    assert not [found for found in imports(path) if found.startswith(others)]


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_the_edge_knows_typer_and_rich(path: Path) -> None:
    edge_files = ("app.py", "command.py", "command_line.py", "reference.py")
    if path.name in edge_files or path.parent.name == "console":
        return
    assert not {found.partition(".")[0] for found in imports(path)} & {"typer", "rich", "click"}
    edge = ("cosface_cli.command_line", "cosface_cli.console", "cosface_cli.app")
    assert path.name == "__main__.py" or not [found for found in imports(path) if found.startswith(edge)]


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_stages_print_nothing(path: Path) -> None:
    if path.parent.name == "console" or path.name == "app.py":
        return
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
    assert "print" not in names


def test_one_file_loads_the_runtime_and_keeps_it_silent() -> None:
    loaders = [module_name(p) for p in MODULES if any(i.partition(".")[0] == "onnxruntime" for i in imports(p))]
    assert loaders == ["cosface_cli.engines.runtime.onnx_session"]


def test_doors_and_commands_are_light() -> None:
    doors = [module_name(p) for p in MODULES if p.name == "__init__.py"]
    commands = [module_name(p) for p in MODULES if p.name == "command.py"]
    assert {name.split(".")[1] for name in commands} == {*ROOMS, ABOVE}
    loaded = loaded_by("import " + ", ".join([*doors, *commands, "cosface_cli.app"]))
    assert not loaded & HEAVY


def test_help_is_light() -> None:
    statement = "from cosface_cli.app import run; sys.stdout = sys.stderr; run(['--help']); sys.stdout = sys.__stdout__"
    loaded = loaded_by(statement)
    assert not loaded & HEAVY


def test_workers_start_light() -> None:
    """A worker process imports the program's main file, and what its tasks and its opener are made of."""
    loaded = loaded_by(
        "import cosface_cli.__main__, cosface_cli.align.align_worker, cosface_cli.engines.photos.photo_embedder"
    )
    assert not loaded & {"typer", "rich", "h5py", "torch", "insightface", "onnx", "scipy", "faiss"}


@pytest.mark.slow
def test_verify_of_two_photos_loads_no_torch(packaged_photos: Path) -> None:
    a, b = packaged_photos / "t1.jpg", packaged_photos / "Tom_Hanks_54745.png"
    statement = (
        "from cosface_cli.app import run; sys.stdout = sys.stderr; "
        f"code = run(['verify', {str(a)!r}, {str(b)!r}]); assert code == 1, code; sys.stdout = sys.__stdout__"
    )
    loaded_by(statement)  # the first run of all converts the models, with onnx
    loaded = loaded_by(statement)
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "faiss", "h5py", "insightface", "onnx", "scipy", "rich"}


@pytest.mark.parametrize(("module", "name", "choice"), CHOICES)
def test_tables_point_to_what_is_there(module: str, name: str, choice: str) -> None:
    table: Table[Any] = getattr(import_module(module), name)
    row = table.row(choice)
    try:
        assert table.load(choice) is not None and row.summary
    except CosfaceError as error:
        assert row.extra is not None and isinstance(error.__cause__, ModuleNotFoundError)
        missing = str(error.__cause__.name).partition(".")[0]
        assert find_spec(missing) is None, "it is installed, but does not have the module"
        pytest.skip(str(error))


def test_every_table_is_tested() -> None:
    found = set()
    for path in MODULES:
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=ast.Name(id="Table"))):
                    found.add((module_name(path), name))
    assert found == set(TABLES) == {(module, name) for module, name, _ in CHOICES}


def test_the_table_of_commands_is_the_rooms() -> None:
    from cosface_cli.app import COMMANDS

    assert tuple(COMMANDS.names) == (*ROOMS, ABOVE)


def test_no_attic() -> None:
    assert not [p for p in MODULES if p.stem in ("utils", "util", "helpers", "misc", "common")]


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_module_is_imported(path: Path) -> None:
    """What several test modules need is a fixture in a conftest.py, or stands in a module that holds no tests."""
    parts = [part for name in imports(path) for part in name.split(".")]
    assert not [part for part in parts if part.startswith("test_")]
