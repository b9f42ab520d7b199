"""What all archives share: which members are photos, and which are rejected without being read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cosface_cli.artifacts.pictures import looks_like_photo
from cosface_cli.engines.sources import Item, Listing, Place, Refused, SourceRequest
from cosface_cli.engines.sources.folder import PHOTOS, notes_of
from cosface_cli.errors import CosfaceError

MAX_MEMBER = 256 << 20  # bytes: above any photo that --max-megapixels lets through by default
MAX_NAME = 200  # bytes of one level, so that the crop's name fits a file system


@dataclass(frozen=True, slots=True)
class Member:
    """A photo in an archive."""

    name: str
    """As in the archive."""
    size: int
    """Bytes, unpacked."""
    place: Place


def list_members(request: SourceRequest, members: Iterable[Member | str]) -> Listing:
    """The photos among the members, in the order of their names' bytes. A str is the name of another kind of file.

    Hidden members are skipped, as in folders. Names that lead out of the archive and sizes that no photo has are
    rejected. Of several members with the same name the last counts, as it does when the archive is unpacked.
    """
    items: dict[str, Item] = {}
    others: list[str] = []
    repeated = 0
    for member in members:
        path = PurePosixPath(member if isinstance(member, str) else member.name)
        if any(part.startswith(".") and part != ".." for part in path.parts):
            continue
        if isinstance(member, str):
            others.append(path.name)
            continue
        name = path.as_posix()
        repeated += name in items
        display_name = member_display_name(request, member.name)
        refused = _refused(request, path, member, display_name)
        items[name] = Item(name, refused or member.place, display_name)
    notes = notes_of(others)
    if "manifest.jsonl" in others:
        notes += ("it contains a manifest.jsonl: if these are crops, unpack them and give their folder instead",)
    if repeated:
        notes += (f"{repeated} members have the name of an earlier one and replace it",)
    ordered = sorted(items.values(), key=lambda item: os.fsencode(item.name))
    return Listing(root=request.path, items=tuple(ordered), notes=notes, whole=True)


def member_display_name(request: SourceRequest, name: str) -> str:
    """What errors call a member: archive and name."""
    return f"{request.source}/{PurePosixPath(name)}"


def archive_error(kind: str, path: Path, error: Exception) -> CosfaceError:
    """The one-line error for an archive that cannot be opened or is damaged."""
    if isinstance(error, OSError) and error.strerror is not None:  # without strerror it was raised for damage
        return CosfaceError(f"cannot be read ({error.strerror})", path, "check its permissions")
    return CosfaceError(f"damaged {kind} archive ({error})", path, "copy it again")


def is_photo(name: str, head: bytes) -> bool:
    """Whether a member is a photo, by its suffix or its first bytes (16 or more)."""
    return PurePosixPath(name).suffix.lower() in PHOTOS or looks_like_photo(head)


def _refused(request: SourceRequest, path: PurePosixPath, member: Member, display_name: str) -> Refused | None:
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        return Refused(request.path, display_name, "unsafe_name", "this name leads out of the archive", "pack it again")
    if any(len(os.fsencode(part)) > MAX_NAME for part in path.parts):
        return Refused(request.path, display_name, "unsafe_name", "the name is too long", "pack it with a shorter name")
    if member.size > MAX_MEMBER:
        problem = f"{member.size / 1e6:.0f} MB unpacked, too large for a photo"
        return Refused(request.path, display_name, "too_large", problem, "unpack the archive and give the folder")
    return None
