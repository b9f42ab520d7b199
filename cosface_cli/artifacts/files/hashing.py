"""The checksum of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cosface_cli.errors import CosfaceError


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex; memory does not grow with the file. Raises CosfaceError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
