"""Lists of photo pairs: LFW's pairs.txt (Huang 2007)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosface_cli.errors import CosfaceError


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by name (`Name/Name_0001`, no ending), whether they show one person, and the fold from 1 on."""

    left: str
    right: str
    same: bool
    fold: int


@dataclass(frozen=True, slots=True)
class PairList:
    """pairs in the file's order; folds: how many; per_fold: pairs in each, half of them genuine."""

    pairs: tuple[Pair, ...]
    folds: int
    per_fold: int


def read_pairs(path: Path) -> PairList:
    """The pairs of an LFW list.

    Its first line says the folds and the genuine pairs of each (which are followed by as many impostor pairs), or,
    for View 1, only the latter. Raises CosfaceError naming the line that does not fit, or both counts.
    """
    lines = _lines(path)
    header = lines[0].split() if lines else []
    if len(header) not in (1, 2) or not all(map(_is_number, header)):
        raise CosfaceError(
            "not an LFW pairs file: its first line is not `folds<TAB>pairs`", path, "give a file like LFW's pairs.txt"
        )
    folds, half = (1, int(header[0])) if len(header) == 1 else (int(header[0]), int(header[1]))
    body = [(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(body) != folds * half * 2 or not body:
        raise CosfaceError(
            f"the header says {folds} folds of {half} + {half} pairs, {folds * half * 2}, but {len(body)} follow",
            path,
            "correct the header, or get the file again",
        )
    pairs = []
    for position, (number, line) in enumerate(body):
        fold, place = divmod(position, 2 * half)
        pairs.append(_pair(line, place < half, fold + 1, number, path))
    return PairList(tuple(pairs), folds, 2 * half)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        return text.replace("\r\n", "\n").split("\n")
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give a list of pairs") from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def _pair(line: str, same: bool, fold: int, number: int, path: Path) -> Pair:
    words = [word.strip() for word in line.split("\t")] if "\t" in line else line.split()
    want = 3 if same else 4
    digits = words[1::2] if not same else words[1:]
    if len(words) != want or not all(map(_is_number, digits)):
        kind = "name, number, number" if same else "name, number, name, number"
        raise CosfaceError(f"line {number} should be `{kind}`, as its place in the fold says", path, "correct the line")
    other = words[0] if same else words[2]
    return Pair(_photo(words[0], words[1]), _photo(other, words[-1]), same, fold)


def _photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
