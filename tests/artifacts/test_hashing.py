"""SHA-256 of files of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.errors import CosfaceError


@pytest.mark.parametrize("size", (0, 1, 300_000))
def test_the_checksum_is_that_of_the_content(tmp_path: Path, size: int):
    content = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "f").write_bytes(content[:size])
    assert file_sha256(tmp_path / "f") == hashlib.sha256(content[:size]).hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(CosfaceError, match=r"missing.txt: cannot be read \(No such file"):
        file_sha256(tmp_path / "missing.txt")
