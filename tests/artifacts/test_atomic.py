"""Whole files or none, on a full disk too, and locks that die with their holder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import BusyError, CosfaceError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []
    with atomic.replacing(path) as temp:
        assert temp.parent == tmp_path and temp != path
        temp.write_bytes(b"new")
        seen.append(path.read_bytes())
    assert seen == [b"old"] and path.read_bytes() == b"new"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("error", (ValueError, KeyboardInterrupt, SystemExit))
def test_on_any_error_the_old_file_stays(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic.replacing(path) as temp:
        temp.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old" and names(tmp_path) == {"file"}


def test_an_error_before_anything_was_written(tmp_path: Path):
    with pytest.raises(ValueError, match="early"), atomic.replacing(tmp_path / "file"):
        raise ValueError("early")
    assert names(tmp_path) == set()


def test_text_with_undecodable_names_is_written_as_its_bytes(tmp_path: Path):
    atomic.write_text(tmp_path / "file", os.fsdecode(b"caf\xe9 \xc3\xa9\n"))
    assert (tmp_path / "file").read_bytes() == b"caf\xe9 \xc3\xa9\n"


def test_a_full_disk_is_one_line_and_the_old_file_stays(small_disk: Path):
    path = small_disk / "file"
    atomic.write_bytes(path, b"old")
    with pytest.raises(CosfaceError, match=r"file: the disk is full; free some space") as caught:
        atomic.write_bytes(path, os.urandom(200_000))
    assert str(small_disk) in str(caught.value)
    assert path.read_bytes() == b"old" and names(small_disk) == {"file"}


def test_a_file_size_limit_is_said(tmp_path: Path):
    code = f"""
import resource, signal
from pathlib import Path
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    atomic.write_bytes(Path({str(tmp_path / "file")!r}), bytes(100_000))
except CosfaceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "size limit" in done.stdout and "ulimit" in done.stdout, done
    assert names(tmp_path) == set()


def test_a_file_where_a_folder_is_needed(tmp_path: Path):
    (tmp_path / "file").touch()
    for call in (
        lambda: atomic.write_bytes(tmp_path / "file" / "inner", b""),
        lambda: atomic.make_folder(tmp_path / "file" / "inner"),
        lambda: atomic.make_folder(tmp_path / "file"),
        lambda: atomic.lock(tmp_path / "file" / "inner").__enter__(),
    ):
        with pytest.raises(CosfaceError, match="a folder is needed, but this is a file; choose another place"):
            call()


def test_a_folder_where_a_file_is_to_be_written(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CosfaceError, match="a file is needed, but this is a folder"):
        atomic.write_bytes(tmp_path / "folder", b"")
    assert names(tmp_path) == {"folder"}


def test_a_missing_folder_is_one_line(tmp_path: Path):
    with pytest.raises(CosfaceError, match=r"none/file: no such folder to write to"):
        atomic.write_bytes(tmp_path / "none" / "file", b"")


def test_a_name_too_long(tmp_path: Path):
    with pytest.raises(CosfaceError, match="too long"):
        atomic.write_bytes(tmp_path / ("x" * 300), b"")


@pytest.mark.parametrize(
    ("number", "words"),
    (
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
        (errno.EIO, "could not be written"),
    ),
)
def test_refusals_name_the_file_and_a_mend(number: int, words: str):
    with pytest.raises(CosfaceError, match=words) as caught, atomic.write_errors(Path("some/file")):
        raise OSError(number, os.strerror(number))
    assert caught.value.path == "some/file" and caught.value.hint
    with pytest.raises(CosfaceError) as caught, atomic.write_errors(Path("some/file")):
        raise OSError(number, os.strerror(number), "other/file")
    assert caught.value.path == "other/file"


def test_what_the_system_never_says_stays_a_bug():
    with pytest.raises(OSError, match="Bad file"), atomic.write_errors(Path("file")):
        raise OSError(errno.EBADF, "Bad file descriptor")


HOLD = """
import sys, time
from pathlib import Path
from cosface_cli.artifacts.files import atomic
with atomic.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_told_and_the_lock_dies_with_its_holder(tmp_path: Path):
    path = tmp_path / "store.h5"
    with holder(path, 60) as process:
        with pytest.raises(BusyError, match=r"store\.h5: another cosface is writing there"), atomic.lock(path):
            pass
        started = time.monotonic()
        with pytest.raises(BusyError), atomic.lock(path, wait_seconds=0.3):
            pass
        assert 0.3 <= time.monotonic() - started < 5
        process.send_signal(signal.SIGKILL)
        process.wait()
        with atomic.lock(path):  # the file is still there, its lock is not
            pass
    assert names(tmp_path) == set()


def test_waiting_gets_the_lock(tmp_path: Path):
    path = tmp_path / "store.h5"
    with holder(path, 0.3), atomic.lock(path, wait_seconds=30):
        pass
    assert names(tmp_path) == set()


def test_the_lock_is_let_go_on_errors_and_taken_again(tmp_path: Path):
    path = tmp_path / "store.h5"
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"), atomic.lock(path):
            with pytest.raises(BusyError), atomic.lock(path):
                pass
            raise ValueError("inside")
    assert names(tmp_path) == set()


def test_a_lock_on_a_file_that_is_gone_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The last holder removes the lock's file, perhaps between our open and our flock: the next one would make
    another file of that name, and lock it too."""
    path, name, flock = tmp_path / "store.h5", tmp_path / ".store.h5.lock", fcntl.flock
    last_holders = iter([name.unlink] * 2)

    def late_flock(handle: int, operation: int) -> None:
        next(last_holders, lambda: None)()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late_flock)
    with atomic.lock(path):
        assert next(last_holders, None) is None, "it tried until the file stayed"
        with pytest.raises(BusyError), atomic.lock(path):
            pass
    assert names(tmp_path) == set()


CROWD = """
import sys
from pathlib import Path
from cosface_cli.artifacts.files import atomic
counter = Path(sys.argv[1])
for _ in range(60):
    with atomic.lock(counter, wait_seconds=60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_a_crowd_takes_turns(tmp_path: Path):
    """The name goes away each time: two must never hold locks on two files of one name."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, str(counter)]) for _ in range(4)]
    assert [process.wait() for process in crowd] == [0] * 4
    assert counter.read_text() == "240"
