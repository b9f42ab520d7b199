"""WebDataset's tar files: the members of a sample share a key, their path up to the first dot of its last part.

000017.jpg + 000017.cls (an integer as text), or + 000017.json with a label in it. One pass reads headers and labels
only; a picture is read later by its offset.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.packed.tar_headers import Header, headers
from cosface_cli.errors import CosfaceError

PICTURES = ("jpg", "jpeg", "png", "webp", "bmp", "ppm")
_LABELS = ("cls", "json")
_IN_JSON = ("label", "cls", "identity")
_MAX_LABEL = 1 << 20  # bytes
_MAX_KEY = 512  # bytes
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a tar file."""

    key: str
    """Name that its members share."""
    offset: int
    """Position of the picture in the tar file, in bytes."""
    size: int
    """Bytes of the picture."""
    label: int | str
    """The identity, as number or name."""


def samples(path: Path) -> Iterator[Sample]:
    """The labelled pictures of a tar file, in the order in which they become complete.

    The identity of a picture without .cls and .json is its folder, the first level of its key. Raises CosfaceError that
    names file and sample for damage, a picture without a label, a label without a picture, and two pictures.
    """
    try:
        with path.open("rb") as handle:
            if handle.read(6).startswith(_PACKED):
                raise CosfaceError("compressed tar files are not supported", path, "decompress it to a plain .tar")
        with tarfile.open(path, "r:", tarinfo=Header, encoding="utf-8", errors="surrogateescape") as tar:
            yield from _matched(tar, path)
    except CosfaceError:
        raise
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror or error})", path, "check its permissions") from error
    except Exception as error:  # tarfile raises exceptions of any type for hostile bytes
        raise CosfaceError(f"damaged tar archive ({error})", path, "copy it again") from error


def _matched(tar: tarfile.TarFile, path: Path) -> Iterator[Sample]:
    pictures: dict[str, tuple[int, int]] = {}  # those whose label was not read yet
    labels: dict[str, int | str] = {}  # those whose picture was not read yet
    done: set[bytes] = set()
    end = path.stat().st_size
    for info in headers(tar):
        folder, slash, last = info.name.removeprefix("./").rpartition("/")
        stem, _, ending = last.partition(".")
        key, ending = folder + slash + stem, ending.lower()
        if not info.isreg() or info.issparse() or not stem or ending not in (*PICTURES, *_LABELS):
            continue
        name = key.encode("utf-8", "surrogateescape")
        if len(name) > _MAX_KEY:
            problem = f"the name of a sample has {len(name)} bytes, at most {_MAX_KEY} are supported"
            raise CosfaceError(problem, path, "pack it with a shorter name")
        if info.offset_data + info.size > end:
            raise CosfaceError(f"truncated: the file ends inside {info.name}", path, "copy it again")
        if ending in PICTURES:
            if key in pictures or name in done:
                raise CosfaceError(f"sample {key} has two pictures", path, "pack one of them under another name")
            pictures[key] = (info.offset_data, info.size)
        elif name not in done and not (ending == "json" and key in labels):  # .cls has priority over .json
            label = _label(tar, info, path)
            if label is not None:
                labels[key] = label
        if key in pictures and key in labels:
            done.add(name)
            yield Sample(key, *pictures.pop(key), labels.pop(key))
    if labels:
        raise CosfaceError(f"sample {min(labels)} has a label but no picture", path, "pack or copy the file again")
    for key, (offset, size) in pictures.items():
        if "/" not in key:
            raise CosfaceError(f"sample {key} has no label", path, f"add {key}.cls with a number as text")
        yield Sample(key, offset, size, key.partition("/")[0])


def _label(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> int | str | None:
    """The label in a .cls or .json; None for a .json without a label."""
    if info.size > _MAX_LABEL:
        raise CosfaceError(f"{info.name} has {info.size} bytes, too many for a label", path, "pack it again")
    content = tar.extractfile(info)
    text = b"" if content is None else content.read()
    try:
        if not info.name.lower().endswith(".json"):
            return int(text.decode("ascii").strip())
        label = json.loads(text)
    except (ValueError, RecursionError):
        hint = "a .cls must hold a number as text, a .json valid JSON"
        raise CosfaceError(f"{info.name} is not a label", path, hint) from None
    if isinstance(label, dict):
        label = next((label[name] for name in _IN_JSON if name in label), None)
    return label if isinstance(label, str) or type(label) is int else None
