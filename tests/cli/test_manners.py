"""Output, help, settings and interruption of every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cosface

COMMAND = [sys.executable, "-m", "cosface_cli"]


def test_help_names_every_command_and_option(cosface: Cosface) -> None:
    root = cosface("--help")
    assert root.code == 0 and root.err == ""
    for command in ("align", "train", "embed", "index", "verify"):
        assert command in root.out
        inner = cosface(command, "--help")
        assert inner.code == 0 and inner.out.splitlines()[0].startswith("Usage: cosface " + command)
    assert cosface().out == root.out, "no arguments: the help"
    assert cosface("--version").out.startswith("cosface 0.")


def test_every_option_has_help() -> None:
    from cosface_cli.app import COMMANDS, load_commands

    def walk(command: object, path: str) -> None:
        for name, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{path} {name}")
        for parameter in getattr(command, "params", []):
            if parameter.name not in ("help", "install_completion", "show_completion"):
                assert getattr(parameter, "help", None), f"{path} {parameter.name}"

    walk(load_commands(*COMMANDS.names), "cosface")


@pytest.mark.slow
def test_standard_output_is_json_lines_only(cosface: Cosface, people: Path, tmp_path: Path) -> None:
    runs = [
        cosface("align", people, tmp_path / "aligned"),
        cosface("embed", tmp_path / "aligned", tmp_path / "faces.h5"),
        cosface("index", "build", tmp_path / "faces.h5", tmp_path / "i"),
        cosface("index", "search", tmp_path / "i", people),
        cosface("verify", people / "person1" / "near.jpg", people / "person1" / "far.jpg"),
        cosface("align", tmp_path / "none", tmp_path / "x"),
    ]
    for done in runs:
        for line in done.out.splitlines():
            assert isinstance(json.loads(line), dict)
    assert runs[-1].out == "" and runs[-1].err


def test_formats(invoke: Cosface, people: Path) -> None:
    pair = ("verify", people / "person1" / "near.jpg", people / "person1" / "far.jpg", "--format")
    header, values = invoke(*pair, "tsv").out.splitlines()
    assert header.split("\t")[:3] == ["cos", "same", "far"] and len(values.split("\t")) == len(header.split("\t"))
    table = invoke(*pair, "table").out
    assert "threshold" in table and "dlib" in table and "{" not in table and "\x1b" not in table


@pytest.mark.slow
def test_quiet_says_nothing_but_errors(cosface: Cosface, people: Path, tmp_path: Path) -> None:
    done = cosface("align", people / "person1", tmp_path / "a", "--quiet")
    assert done.code == 0 and done.err == "" and len(done.rows) == 3
    assert cosface("align", tmp_path / "none", tmp_path / "b", "-q").err.startswith("cosface: ")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["align", "search"])
def test_a_closed_pipe_ends_quietly(people: Path, tmp_path: Path, invoke: Cosface, command: str) -> None:
    words = ["align", str(people), str(tmp_path / "a"), "--faces", "all"]
    if command == "search":
        invoke("embed", people, tmp_path / "f.h5")
        invoke("index", "build", tmp_path / "f.h5", tmp_path / "i")
        words = ["index", "search", str(tmp_path / "i"), str(tmp_path / "f.h5"), "-k", "1000"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) in (0, 141) and "Traceback" not in err and "Broken pipe" not in err, err


def test_settings_come_from_file_environment_and_flags(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    def template_of(name: str, *words: str, env: dict[str, str] | None = None) -> str:
        done = invoke("align", people / "person1", tmp_path / name, *words, cwd=tmp_path, env=env)
        assert done.code == 0, done
        return str(json.loads((tmp_path / name / "manifest.jsonl").read_text().splitlines()[0])["template"])

    assert template_of("a") == "wide"
    (tmp_path / "cosface.toml").write_text('[align]\ntemplate = "arcface"\nmin-face = 21\n')
    assert template_of("b") == "arcface"
    assert template_of("c", env={"COSFACE_ALIGN_TEMPLATE": "dlib"}) == "dlib"
    assert template_of("d", "--template", "sphereface", env={"COSFACE_ALIGN_TEMPLATE": "dlib"}) == "sphereface"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[align]\ntemplat = 1\n", ("templat", "did you mean 'template'?")),
        ("[aline]\n", ("aline", "did you mean 'align'?")),
        ("[index.serch]\nk = 1\n", ("serch", "did you mean 'search'?")),
        ("align = 3\n", ("align",)),
        ("[align\n", ("not valid TOML",)),
    ],
)
def test_a_wrong_settings_file_is_one_line(invoke: Cosface, tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "cosface.toml").write_text(text)
    done = invoke("verify", "a", "b", cwd=tmp_path)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "cosface.toml" in done.err, done
    assert all(part in done.err for part in parts), done
    assert invoke("align", "--help", cwd=tmp_path).code == 0, "help is there when it is needed most"


@pytest.mark.slow
def test_no_home_no_network_no_write_beside_the_model(people: Path, tmp_path: Path) -> None:
    """HOME that cannot be written and a network name space without any interface: everything is on disk."""
    unshare = subprocess.run(["unshare", "-rn", "true"], capture_output=True)
    prefix = ["unshare", "-rn"] if unshare.returncode == 0 else []
    env = {k: v for k, v in os.environ.items() if k not in ("COSFACE_CACHE", "XDG_CACHE_HOME")}
    env |= {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
    words = ["verify", str(people / "person5" / "near.jpg"), str(people / "person5" / "far.jpg")]
    done = subprocess.run([*prefix, *COMMAND, *words], capture_output=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [f"cosface-{os.getuid()}"]


@pytest.mark.slow
def test_interrupted_is_130_and_the_work_stays(people: Path, tmp_path: Path) -> None:
    import shutil
    import signal
    import time

    raw = tmp_path / "raw"
    for copy in range(40):
        shutil.copytree(people / "person1", raw / str(copy))
    process = subprocess.Popen(
        [*COMMAND, "embed", str(raw), str(tmp_path / "f.h5"), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"interrupted" in err and b"Traceback" not in err
    from cosface_cli.artifacts.store.store_file import Store

    with Store(tmp_path / "f.h5") as store:
        assert 0 < len(store) < 120
