"""CONTRIBUTING.md: its commands run, its files exist, and it names the steps of continuous integration."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
CHECKS = ("ruff check", "ruff format", "mypy", "lint-imports", "pytest")
QUICK = [line for line in COMMANDS if line.startswith("pytest tests/")]


@pytest.mark.slow
@pytest.mark.parametrize("command", QUICK)
def test_the_tests_of_one_file_or_folder_run(command: str) -> None:
    words = [sys.executable, "-m", *shlex.split(command), "-n", "0", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0 and " passed" in done.stdout, done


def test_the_quick_tests_are_chosen_by_a_marker_that_exists() -> None:
    words = [sys.executable, "-m", "pytest", "--markers"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 'pytest -n 2 -m "not slow"' in COMMANDS and "@pytest.mark.slow:" in done.stdout


def test_the_page_names_every_check_of_the_script() -> None:
    script = (ROOT / "tests" / "run.sh").read_text("utf-8")
    for check in CHECKS:
        assert re.search(rf"^{check}\b", script, re.MULTILINE), check
        assert any(command.startswith(check) for command in COMMANDS), check
    assert "bash tests/run.sh" in COMMANDS


def test_the_extra_of_the_page_is_declared() -> None:
    from importlib.metadata import metadata

    (install,) = (command for command in COMMANDS if command.startswith("pip"))
    (extra,) = re.findall(r"\[(\w+)\]", install)
    assert extra in (metadata("cosface").get_all("Provides-Extra") or [])


def test_links_point_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_named_symbols_exist() -> None:
    """LOSSES and the like, which the steps tell to extend, are in the files that the same step links."""
    for name, path in re.findall(r"`([A-Z]{3,})` in\s+\[[^\]]+\]\(([^)]+)\)", PAGE):
        assert re.search(rf"^{name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE), (name, path)
