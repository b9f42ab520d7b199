"""Markdown files name only what exists: flags, files, modules, tables, links; no placeholder is left in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cosface_cli"
FORMATS = "cosface_cli/artifacts/README.md"
MAP = "cosface_cli/README.md"
HIDDEN = (".", "build", "dist", "node_modules")  # folders that are not part of the repository
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(HIDDEN) for part in path.relative_to(ROOT).parts)
)
OTHER_PROGRAMS = re.compile(r".*\b(ray start|tensorboard|torchrun|pip install|ruff|pytest|mypy|jq) .*--?\w.*")
ENVIRONMENT = ("COSFACE_", "RAY_", "MILVUS_", "XDG_")


def read(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def prose(text: str) -> str:
    """Without fenced blocks, indented blocks and code spans."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def code_spans(text: str) -> list[str]:
    return [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    ]


@cache
def sources() -> str:
    """All Python and configuration of the repository."""
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "pyproject.toml"]
    return "\n".join(path.read_text("utf-8") for path in files if path != Path(__file__))


@cache
def flags() -> frozenset[str]:
    """Every flag of every command."""
    from cosface_cli.app import COMMANDS, SUB_COMMANDS, load_commands

    def of(command: object) -> set[str]:
        options = getattr(command, "params", [])
        own = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
        return own.union(*(of(sub) for sub in getattr(command, "commands", {}).values()))

    words = [(name, word) for name, table in SUB_COMMANDS.items() for word in table.names]
    return frozenset(
        {"--help"} | of(load_commands(*COMMANDS.names)).union(*(of(load_commands(sub_command=w)) for w in words))
    )


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a Markdown text."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def placeholders(text: str) -> list[str]:
    words = re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", prose(text))
    left = [word for word in words if not word.startswith(ENVIRONMENT)]
    return left + re.findall(r"\b(?:TODO|FIXME|XXX|TBD|TBA)\b", text)


def stale_paths(text: str, document: str) -> list[str]:
    """Paths of our own in code spans that lead nowhere, from the root or from the document's folder."""
    paths = re.findall(r"(?<![\w./])(?:cosface_cli|tests|examples|\.ci)(?:/[\w.*{},-]+)*/?(?![\w/])", text)
    if document == FORMATS:
        for span in code_spans(text):
            paths += re.findall(r"^[a-z_]+/[a-z_0-9]+\.py$", span)
    paths = [path.rstrip("/.,") for path in paths]
    real = [path for path in paths if "/" in path and not re.search(r"[*{]|NAME", path)]
    places = (ROOT, (ROOT / document).parent, PACKAGE)
    return [path for path in real if not any((place / path).exists() for place in places)]


def stale_modules(text: str) -> list[str]:
    """Dotted names of our package that are not those of a module, or of something that a module defines."""
    stale = []
    for name in re.findall(r"\bcosface_cli(?:\.\w+)+", text):
        parts, module = name.split(".")[1:], PACKAGE
        while parts and (module / parts[0]).is_dir():
            module /= parts.pop(0)
        if parts and (module / f"{parts[0]}.py").is_file():
            module /= f"{parts.pop(0)}.py"
        else:
            module /= "__init__.py"
        if parts and not re.search(rf"\b{parts[0]}\b", module.read_text("utf-8")):
            stale.append(name)
    return stale


def stale_flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*[a-z])(?![\w-])", OTHER_PROGRAMS.sub("", text))) - flags()


def stale_constants(text: str) -> list[str]:
    """Names of tables and constants, such as LOSSES, that the code does not have."""
    return [
        span
        for span in code_spans(text)
        if re.fullmatch(r"[A-Z][A-Z_]{4,}", span) and not re.search(rf"\b{span}\b", sources())
    ]


def stale_entries_of_the_map(text: str) -> list[str]:
    """Names of modules and folders in the map that are not in the package, at any depth."""
    known = {path.stem for path in PACKAGE.rglob("*.py")} | {path.name for path in PACKAGE.rglob("*") if path.is_dir()}
    known |= {path.name for path in PACKAGE.rglob("*")} | {"__init__"}
    stale = []
    for span in code_spans(text):
        parts = span.strip("/").split("/")
        if re.fullmatch(r"[a-z_0-9]+(/[a-z_0-9]+)*/?", span):
            exists = (PACKAGE / span).exists() if len(parts) > 1 else parts[0] in known
            stale += [] if exists or (PACKAGE / f"{span}.py").exists() else [span]
    return stale


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_placeholder_is_left(document: str) -> None:
    assert placeholders(read(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_modules_and_tables_exist(document: str) -> None:
    text = read(document)
    assert stale_paths(text, document) == []
    assert stale_modules(text) == []
    assert stale_constants(text) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_flags_exist(document: str) -> None:
    assert stale_flags(read(document)) == set()


def test_the_map_names_what_is_there() -> None:
    assert stale_entries_of_the_map(read(MAP)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document: str) -> None:
    text = read(document)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / document).parent / path if path else ROOT / document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text("utf-8")), target


def test_stale_names_are_found() -> None:
    """Each check, on a text that is wrong."""
    wrong = (
        "It is fast: SPEED_FIGURES. TODO: measure. See `cosface_cli/old/place.py`, `cosface_cli.gone.thing`,"
        " `cosface_cli.registry.NoSuchName`, --no-such-flag and `NO_SUCH_TABLE`, in `no_such_module/`."
    )
    assert placeholders(wrong) == ["SPEED_FIGURES", "TODO"] and placeholders("`SPEED_FIGURES` $COSFACE_CACHE") == []
    assert stale_paths(wrong, "README.md") == ["cosface_cli/old/place.py"]
    assert stale_paths("`store/no_such.py` `store/store_file.py`", FORMATS) == ["store/no_such.py"]
    assert stale_modules(wrong) == ["cosface_cli.gone.thing", "cosface_cli.registry.NoSuchName"]
    assert stale_modules("cosface_cli.registry.Table cosface_cli.losses.cosface.CosFace") == []
    assert stale_flags(wrong) == {"--no-such-flag"} and stale_flags("`pip install --upgrade x`, --flip") == set()
    assert stale_constants(wrong) == ["NO_SUCH_TABLE"] and stale_constants("`LOSSES`") == []
    assert stale_entries_of_the_map(wrong) == ["no_such_module/"]
