"""What archives have in common: which members are photos, and which are not even tried."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cosface_cli.artifacts.pictures import looks_like_photo
from cosface_cli.engines.sources import Asked, Item, Listing, Place, Refused
from cosface_cli.engines.sources.folder import PHOTOS, notes_of
from cosface_cli.errors import CosfaceError

MAX_MEMBER = 256 << 20  # bytes: above any photo that --max-megapixels lets through by default
MAX_NAME = 200  # bytes of one level, so that the crop's name fits a file system


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive. name: as the archive has it; size: bytes, unpacked; place: where it can be read from."""

    name: str
    size: int
    place: Place


def list_members(asked: Asked, members: Iterable[Member | str]) -> Listing:
    """Photos among the members, in the order of their names' bytes; a str names a member that is no photo.

    As in folders, hidden ones are passed over. Names that lead out of the archive, and sizes that no photo has, are
    refused. Of members with one name the last counts, as it does when the archive is unpacked.
    """
    items: dict[str, Item] = {}
    others: list[str] = []
    again = 0
    for member in members:
        path = PurePosixPath(member if isinstance(member, str) else member.name)
        if any(part.startswith(".") and part != ".." for part in path.parts):
            continue
        if isinstance(member, str):
            others.append(path.name)
            continue
        name = path.as_posix()
        again += name in items
        given = called(asked, member.name)
        refused = _refused(asked, path, member, given)
        items[name] = Item(name, refused or member.place, given)
    notes = notes_of(others)
    if "manifest.jsonl" in others:
        notes += ("a manifest.jsonl is in there: if these are crops, unpack them and give their folder instead",)
    if again:
        notes += (f"{again} members came twice, of which the later counts",)
    ordered = sorted(items.values(), key=lambda item: os.fsencode(item.name))
    return Listing(asked.path, tuple(ordered), notes, whole=True)


def called(asked: Asked, name: str) -> str:
    """What a person calls a member: archive and name."""
    return f"{asked.source}/{PurePosixPath(name)}"


def unusable(kind: str, path: Path, error: Exception) -> CosfaceError:
    """The one-line error for an archive that cannot be opened or is damaged."""
    if isinstance(error, OSError) and error.strerror is not None:  # zipfile and the like raise it without, for damage
        return CosfaceError(f"cannot be read ({error.strerror})", path, "check its permissions")
    return CosfaceError(f"damaged {kind} archive ({error})", path, "copy it again")


def is_photo(name: str, head: bytes) -> bool:
    """Whether a member is a photo, by its ending or its first bytes (16 or more)."""
    return PurePosixPath(name).suffix.lower() in PHOTOS or looks_like_photo(head)


def _refused(asked: Asked, path: PurePosixPath, member: Member, given: str) -> Refused | None:
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        return Refused(asked.path, given, "unsafe_name", "this name leads out of the archive", "pack it anew")
    if any(len(os.fsencode(part)) > MAX_NAME for part in path.parts):
        return Refused(asked.path, given, "unsafe_name", "the name is too long", "pack it under a shorter one")
    if member.size > MAX_MEMBER:
        problem = f"{member.size / 1e6:.0f} MB unpacked, more than a photo has"
        return Refused(asked.path, given, "too_large", problem, "unpack the archive and give the folder")
    return None
