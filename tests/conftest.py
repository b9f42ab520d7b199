"""What tests share: photos that come with a dependency, the large collections where they are, the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

STREAM_ERRORS = ("strict", "backslashreplace")  # of standard output and standard error, as Python sets them
ONE_WORKER = {"COSFACE_ALIGN_WORKERS": "1", "COSFACE_EMBED_WORKERS": "1"}  # no processes to start
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photos and models beside the project; tests that need them are skipped where they are absent."""
    if not (SHARED / "data" / "photos").is_dir():
        pytest.skip("needs the photo collections in ../shared")
    return SHARED


@pytest.fixture(scope="session")
def packaged_photos() -> Path:
    """insightface's wheel ships t1.jpg (six faces), Tom_Hanks_54745.png (one) and mask_*.jpg (cloth, no face)."""
    spec = find_spec("insightface")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data" / "images"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Path:
    """raw/person1..6/{near,middle,far}.jpg, group/t1.jpg, actor/..., masks/ (no faces); not to be written to."""
    root = tmp_path_factory.mktemp("people") / "raw"
    subprocess.run([sys.executable, ROOT / "examples" / "quickstart_photos.py", root], check=True, cwd=ROOT)
    return root


@dataclass(frozen=True)
class Result:
    """What a command line gave: exit code and text."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


Cosface = Callable[..., Result]


def process_result(done: subprocess.CompletedProcess[bytes]) -> Result:
    return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One model cache for all tests of a run, so that models are converted once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "model_cache"
    folder.mkdir(exist_ok=True)
    os.environ["COSFACE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _use_model_cache(model_cache: Path) -> None:
    """Nothing in the tests touches the user's own cache."""


@pytest.fixture
def cosface(model_cache: Path) -> Cosface:
    """Run the command line in a process of its own: cosface("align", raw, out, input=b"...", env={...}, cwd=...).

    For what only a process shows: start, workers, signals, the real streams, memory, what is imported, crashes.
    `invoke` takes the same arguments, and saves the second or more that a process takes to start.
    """

    def run(*words: Any, input: bytes | None = None, env: dict[str, str] | None = None, cwd: Any = None) -> Result:
        environment = {**os.environ, "COSFACE_CACHE": str(model_cache), "NO_COLOR": "1", **(env or {})}
        command = [sys.executable, "-m", "cosface_cli", *map(str, words)]
        done = subprocess.run(command, input=input, capture_output=True, env=environment, cwd=cwd, timeout=300)
        return process_result(done)

    return run


@pytest.fixture
def invoke(model_cache: Path) -> Cosface:
    """Run the command line in the process of the test, with one worker: invoke("align", raw, out, env={...}, cwd=...).

    For everything that a command writes, prints and returns. Warnings are errors here, as everywhere in the tests.
    """
    from cosface_cli.app import run as run_in_process

    def run(*words: Any, input: bytes = b"", env: dict[str, str] | None = None, cwd: Any = None) -> Result:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True) for errors in STREAM_ERRORS)
        with ExitStack() as patches:
            patch = patches.enter_context(pytest.MonkeyPatch.context())
            for name, value in {"NO_COLOR": "1", **ONE_WORKER, **(env or {})}.items():
                patch.setenv(name, value)
            patch.chdir(cwd or Path.cwd())
            stdin = patches.enter_context(tempfile.TemporaryFile())  # some readers want a file descriptor
            stdin.write(input)
            stdin.seek(0)
            patch.setattr(sys, "stdin", io.TextIOWrapper(stdin, "utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "argv", ["cosface", *map(str, words)])
            code = run_in_process(sys.argv[1:])
        return Result(code, *(stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)))

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
