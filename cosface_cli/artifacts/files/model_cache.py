"""Where converted models are kept: built once, found again by every later run.

The folder is $COSFACE_CACHE, else $XDG_CACHE_HOME/cosface, else ~/.cache/cosface; where that cannot be written,
a folder of this user under the system's temporary one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.errors import CosfaceError


def cache_folder() -> Path:
    """The first of the cache folders that can be written. Raises CosfaceError when there is none."""
    named = os.environ.get("COSFACE_CACHE")
    places = [Path(named)] if named else []
    if not named:
        base = os.environ.get("XDG_CACHE_HOME")
        home = os.path.expanduser("~")  # noqa: PTH111 (Path.home raises where there is none)
        if base or Path(home).is_dir():  # a home that is not there is not ours to make
            places.append(Path(base) / "cosface" if base else Path(home) / ".cache" / "cosface")
        places.append(Path(tempfile.gettempdir()) / f"cosface-{os.getuid()}")
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        # anybody could have made a folder in the temporary one
        if os.access(place, os.W_OK | os.X_OK) and (named or place.stat().st_uid == os.getuid()):
            return place
    raise CosfaceError("the model cache cannot be written", places[0], "set COSFACE_CACHE to a folder of yours")


def cached(name: str, build: Callable[[], bytes]) -> Path:
    """The cached file of that name, built first if it is missing, by one process however many start at once.

    The name must change whenever the bytes would: it carries the source's checksum and the converter's version.
    """
    for_reading = _readable(name)
    if for_reading is not None:
        return for_reading
    path = cache_folder() / name
    if not path.exists():
        with atomic.lock(path, wait_seconds=600):
            if not path.exists():
                atomic.write_bytes(path, build())
    return path


def _readable(name: str) -> Path | None:
    """The file in a cache that was filled beforehand and may be read-only now."""
    named = os.environ.get("COSFACE_CACHE")
    path = Path(named) / name if named else None
    return path if path is not None and path.is_file() else None


def packaged(module: str, relative: str, sha256: str) -> Path:
    """A file that an installed package ships, without importing the package.

    Raises CosfaceError when the package is missing or the file is another than the known one.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise CosfaceError(
            f"the package {module!r} with the model is not installed", hint="pip install --force-reinstall cosface"
        )
    path = Path(spec.submodule_search_locations[0]) / relative
    if not path.is_file() or file_sha256(path) != sha256:
        raise CosfaceError("the packaged model is missing or damaged", path, "pip install --force-reinstall cosface")
    return path
