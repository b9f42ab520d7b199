"""The README runs as written: its shell lines and its Python."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]  # one folder for all

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BIN = Path(sys.executable).parent


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    root = tmp_path_factory.mktemp("readme")
    shutil.copytree(people, root / "raw")
    return root


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", text], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
    """Each line of the pipeline with its completed process."""
    block = next(block for block in blocks(README, "sh") if block.startswith("cosface align raw aligned\n"))
    return [(line, shell(line, folder)) for line in block.splitlines()]


def test_the_pipeline_as_written(folder: Path, pipeline: list[tuple[str, subprocess.CompletedProcess[str]]]) -> None:
    for line, done in pipeline:
        assert done.returncode == (3 if line == "cosface align raw aligned" else 0), (line, done)  # cloth has no face
        assert done.stdout or "embed" in line or "train" in line
    assert {"aligned", "runs", "faces.h5", "mine.h5", "people.index"} <= {p.name for p in folder.iterdir()}
    for code in blocks(README, "python"):
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0 and int(done.stdout) == 20, done
    formats = (ROOT / "cosface_cli" / "artifacts" / "README.md").read_text("utf-8")
    (reading,) = blocks(formats, "python")
    reading += "\nassert embeddings.shape == (20, 128) and len(sources) == len(identities) == 20"
    reading += "\nassert identities[sources.index('person1/far.jpg')] == 'person1'"
    done = subprocess.run([sys.executable, "-c", reading], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done
    assert len([line for line in blocks(formats, "python")[0].splitlines() if line and "import" not in line]) <= 10


def test_the_shell_lines_as_written(folder: Path) -> None:
    pipes = next(block for block in blocks(README, "sh") if "| jq" in block)
    for line in pipes.splitlines():
        if "jq" in line and shutil.which("jq") is None:
            code = "import json, sys\nfor r in map(json.loads, sys.stdin):\n"
            code += "    if r['status'] == 'rejected': print(r['source'])"
            line = line.split("|")[0].replace(" aligned", " aligned2") + f"| {sys.executable} -c {shlex.quote(code)}"
        done = shell(line, folder)
        # jq names the four pieces of cloth; embed gives a row for each of 23 .jpg files, those four among them
        assert done.returncode == (0 if "align" in line else 3), (line, done)
        assert len(done.stdout.splitlines()) == (4 if "align" in line else 23), (line, done)


@pytest.mark.usefixtures("pipeline")
def test_managing_an_index_as_written(folder: Path) -> None:
    for line in next(block for block in blocks(README, "sh") if "index info" in block).splitlines():
        done = shell(line, folder)
        assert done.returncode == (3 if " raw --by" in line else 0) and done.stdout, (line, done)  # cloth has no face
    assert (folder / "people.csv").read_text().count("\n") == 21


@pytest.mark.usefixtures("pipeline")
def test_people_in_an_index_as_written(folder: Path) -> None:
    block = next(block for block in blocks(README, "sh") if block.startswith("cosface index cluster"))
    for line in block.splitlines():
        done = shell(line, folder)
        assert done.returncode == 0 and (done.stdout or " export " in line), (line, done)
    assert (folder / "people.html").is_file() and (folder / "names.csv").is_file() and (folder / "by-person").is_dir()


@pytest.mark.usefixtures("pipeline")
def test_a_calibration_as_written(folder: Path) -> None:
    lines = next(block for block in blocks(README, "sh") if block.startswith("cosface verify calibrate")).splitlines()
    for line in lines:
        done = shell(line, folder)
        assert done.returncode == 0, (line, done)
    assert len(lines) == 2 and json.loads(done.stdout)["same"]


@pytest.mark.usefixtures("pipeline")
@pytest.mark.parametrize("first", ["cosface train --list-recipes", "cosface paper bounds"])
def test_training_and_paper_as_written(folder: Path, first: str) -> None:
    for line in next(block for block in blocks(README, "sh") if block.startswith(first)).splitlines():
        done = shell(line, folder)
        assert done.returncode == 0 and done.stdout, (line, done)


def test_the_first_screen_names_the_two_scripts() -> None:
    first = README.splitlines()[:25]
    for script in ("examples/quickstart.sh", "tests/run.sh"):
        assert any(line.strip().startswith(f"bash {script}") for line in first) and (ROOT / script).is_file()
    assert "tests/run.sh" in (ROOT / ".ci" / "run").read_text()
