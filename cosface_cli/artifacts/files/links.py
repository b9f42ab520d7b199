"""A folder of links to photos, with a sub-folder for each person. Only links that its list names are ever removed."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path, PurePosixPath

from cosface_cli.artifacts.crops.manifest import line, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError

LIST = ".links.jsonl"
_LONGEST = 200  # bytes of a folder name, which leaves room for a number


def replace_links(root: Path, links: Iterable[tuple[str, Path]], hard: bool) -> tuple[int, list[Path]]:
    """Replace the links of an earlier run in root. links: name of the person's folder, and file.

    Returns the number of links made, and the files without a link: those that are missing or, for hard links, on
    another disk. Other files in root stay. Raises CosfaceError for a folder with content but without a list of links.
    """
    if root.is_dir() and any(root.iterdir()) and not (root / LIST).is_file():
        raise CosfaceError("the folder has other content", root, "give a new folder for the links")
    remove(root)
    atomic.make_folder(root)
    placed: dict[str, Path] = {}
    folders: dict[str, str] = {}
    taken: set[str] = set()
    missing = []
    for person, target in links:
        if target.is_file():
            if person not in folders:
                folders[person] = _free(root, _file_name(person), taken)
                taken.add(folders[person])
            name = _free(root, f"{folders[person]}/{target.name}", placed)
            placed[name] = target.absolute()
        else:
            missing.append(target)
    # the list is written first, so that an interrupted run leaves no link that is not in it
    atomic.write_text(root / LIST, "".join(line({"link": name, "hard": hard}) for name in placed))
    count = 0
    for name, target in placed.items():
        atomic.make_folder((root / name).parent)
        try:
            (os.link if hard else os.symlink)(target, root / name)
            count += 1
        except OSError:
            missing.append(target)
    return count, missing


def remove(root: Path, last_copies: bool = False) -> None:
    """Remove the links in root's list, the folders that this empties, and the list.

    A hard link to a photo that was deleted elsewhere is the last copy of that photo: it is removed only with
    last_copies.
    """
    folders = set()
    for values in read_lines(root / LIST):
        name = PurePosixPath(str(values.get("link")))
        if name.is_absolute() or ".." in name.parts or len(name.parts) != 2:
            raise CosfaceError("not a list of links", root / LIST, "remove it")
        path = root / name
        folders.add(path.parent)
        if path.is_symlink() or (values.get("hard") and path.is_file() and (last_copies or path.stat().st_nlink > 1)):
            path.unlink()
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    (root / LIST).unlink(missing_ok=True)


def _free(root: Path, name: str, taken: Container[str]) -> str:
    """The name, with a number before its ending if it is taken."""
    head, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".") if slash else (last, "", "")
    stem = stem or last
    free, number = name, 1
    while free in taken or (slash and os.path.lexists(root / free)):
        number += 1
        free = f"{head}{slash}{stem}.{number}{dot}{ending if dot else ''}"
    return free


def _file_name(text: str) -> str:
    """A person's name as the name of a folder: no slash, no leading dot, short enough."""
    safe = "".join("_" if c in "/\\" else c for c in text)
    if len(os.fsencode(safe)) > _LONGEST:
        safe = os.fsencode(safe)[:_LONGEST].decode("utf-8", "ignore")
    return "_" + safe[1:] if safe.startswith(".") else safe
