"""A folder of links to photos, one sub-folder a person. It lists its links, and only those are ever removed."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path, PurePosixPath

from cosface_cli.artifacts.crops.manifest import line, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError

LIST = ".links.jsonl"
_LONGEST = 200  # bytes of a name: what is added to keep names apart still fits


def replace_links(root: Path, wanted: Iterable[tuple[str, Path]], hard: bool) -> tuple[int, list[Path]]:
    """Make root hold links (what the folder is called, file), and no others of an earlier run; gives their number and
    the files without one, because they are not there or, for hard links, on another disk.

    Other people's files in root are left alone. Raises CosfaceError for a folder that holds things but no list.
    """
    if root.is_dir() and any(root.iterdir()) and not (root / LIST).is_file():
        raise CosfaceError("the folder holds other things", root, "give a new folder for the links")
    remove(root)
    atomic.make_folder(root)
    placed: dict[str, Path] = {}
    folders: dict[str, str] = {}
    taken: set[str] = set()
    missing = []
    for called, target in wanted:
        if target.is_file():
            if called not in folders:
                folders[called] = _free(root, _file_name(called), taken)
                taken.add(folders[called])
            name = _free(root, f"{folders[called]}/{target.name}", placed)
            placed[name] = target.absolute()
        else:
            missing.append(target)
    # first the list: a stopped run leaves no link that it does not name
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
    """Take away the links that the list of root names, folders that are empty then, and the list.

    A hard link whose photo is gone elsewhere is the photo: it goes only with last_copies.
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
    """A name, with a number before its ending where it is taken."""
    head, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".") if slash else (last, "", "")
    stem = stem or last
    free, number = name, 1
    while free in taken or (slash and os.path.lexists(root / free)):
        number += 1
        free = f"{head}{slash}{stem}.{number}{dot}{ending if dot else ''}"
    return free


def _file_name(text: str) -> str:
    """A person's name as a folder's: no slash, no leading dot, short enough."""
    safe = "".join("_" if c in "/\\" else c for c in text)
    if len(os.fsencode(safe)) > _LONGEST:
        safe = os.fsencode(safe)[:_LONGEST].decode("utf-8", "ignore")
    return "_" + safe[1:] if safe.startswith(".") else safe
