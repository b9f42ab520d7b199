"""One word of the command line to a listing: a folder, a file, or "-" for paths on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from cosface_cli.engines.sources import Listing
from cosface_cli.engines.sources.folder import list_folder
from cosface_cli.engines.sources.paths import list_paths, split_paths
from cosface_cli.errors import CosfaceError


def list_photos(source: str, besides: Path | None = None) -> Listing:
    """The photos of a folder, one file, or of the paths on standard input for "-".

    besides: a folder that is left out, where output lies inside the source. Raises CosfaceError for a missing source.
    """
    if source == "-":
        return list_paths(split_paths(sys.stdin.buffer.read()))
    path = Path(source)
    if path.is_dir():
        return list_folder(path, besides)
    if path.is_file():
        return list_paths([source], base=path.parent)
    raise CosfaceError("no such file or folder", source, "give a folder of photos, a photo, or - for a list of paths")
