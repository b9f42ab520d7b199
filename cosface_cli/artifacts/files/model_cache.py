"""The cache of converted models: a model is converted once, and later runs use the result.

The folder is $COSFACE_CACHE, else $XDG_CACHE_HOME/cosface, else ~/.cache/cosface. If that cannot be written, it is a
folder of this user in the system's temporary folder.
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
    """The first cache folder that can be written. Raises CosfaceError if there is none."""
    configured = os.environ.get("COSFACE_CACHE")
    places = [Path(configured)] if configured else []
    if not configured:
        base = os.environ.get("XDG_CACHE_HOME")
        home = os.path.expanduser("~")  # noqa: PTH111 (Path.home raises if there is no home)
        if base or Path(home).is_dir():  # a missing home folder is not created
            places.append(Path(base) / "cosface" if base else Path(home) / ".cache" / "cosface")
        places.append(Path(tempfile.gettempdir()) / f"cosface-{os.getuid()}")
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        # another user could have made the folder in the temporary folder
        if os.access(place, os.W_OK | os.X_OK) and (configured or place.stat().st_uid == os.getuid()):
            return place
    raise CosfaceError("the model cache cannot be written", places[0], "set COSFACE_CACHE to a folder of yours")


def cached(name: str, build: Callable[[], bytes]) -> Path:
    """The cached file of that name. A missing file is built first, by one process even if several start at once.

    The name must change whenever the content would: it includes the source's checksum and the converter's version.
    """
    prepared = _prepared(name)
    if prepared is not None:
        return prepared
    path = cache_folder() / name
    if not path.exists():
        with atomic.lock(path, wait_seconds=600):
            if not path.exists():
                atomic.write_bytes(path, build())
    return path


def _prepared(name: str) -> Path | None:
    """The file in a $COSFACE_CACHE that was filled earlier, and that may be read-only."""
    configured = os.environ.get("COSFACE_CACHE")
    path = Path(configured) / name if configured else None
    return path if path is not None and path.is_file() else None


def packaged(module: str, relative: str, sha256: str) -> Path:
    """The path of a file in an installed package, without importing the package.

    Raises CosfaceError if the package is missing, or if the file does not have this SHA-256.
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
