"""What tests share: photos that come with a dependency, the large collections where they are, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


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


class Result:
    """What a command line gave. code: exit code; out, err: text; rows: stdout as NDJSON."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


Cosface = Callable[..., Result]


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
    """Runs the command line in a process of its own: cosface("align", raw, out, input=b"...", env={...}, cwd=...)."""

    def run(*words: Any, input: bytes | None = None, env: dict[str, str] | None = None, cwd: Any = None) -> Result:
        full = {**os.environ, "COSFACE_CACHE": str(model_cache), "NO_COLOR": "1", **(env or {})}
        command = [
            sys.executable,
            "-m",
            "cosface_cli",
            *(os.fspath(w) if isinstance(w, Path) else str(w) for w in words),
        ]
        done = subprocess.run(command, input=input, capture_output=True, env=full, cwd=cwd, timeout=300)
        return Result(done)

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
