"""LFW's lists (Huang 2007): pairs.txt, pairsDevTrain.txt and pairsDevTest.txt, and people.txt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosface_cli.errors import CosfaceError


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by name (`Name/Name_0001`, without file ending)."""

    left: str
    """Name of the first photo."""
    right: str
    """Name of the second photo."""
    same: bool
    """Whether they show one person."""
    fold: int
    """Number of the fold, from 1."""


@dataclass(frozen=True, slots=True)
class PairList:
    """The content of a pairs file."""

    pairs: tuple[Pair, ...]
    """In the order of the file."""
    folds: int
    """Number of folds."""
    per_fold: int
    """Pairs in each fold, genuine ones first."""


@dataclass(frozen=True, slots=True)
class PersonPhotos:
    """A line of people.txt."""

    name: str
    """Name of the person."""
    photos: int
    """Number of photos: Name_0001 and so on."""
    fold: int
    """Number of the fold, from 1."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos."""
        return tuple(_photo(self.name, str(number)) for number in range(1, self.photos + 1))


def read_pairs(path: Path) -> PairList:
    """The pairs of an LFW list.

    The first line has the number of folds and of genuine pairs in each fold. As many impostor pairs follow them; a
    third number gives another count. A single number, as in View 1, is the number of genuine pairs of one fold. Raises
    CosfaceError naming the first wrong line, or both counts.
    """
    lines = _lines(path)
    header = lines[0].split() if lines else []
    if len(header) not in (1, 2, 3) or not all(map(_is_number, header)):
        raise CosfaceError(
            "not an LFW pairs file: the first line is not `folds<TAB>pairs`", path, "give a file like LFW's pairs.txt"
        )
    folds, genuine, impostors = _counts(header)
    body = [(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(body) != folds * (genuine + impostors) or not body:
        declared = f"{folds} folds of {genuine} + {impostors} pairs, {folds * (genuine + impostors)} in all"
        problem = f"the header declares {declared}, but {len(body)} follow"
        raise CosfaceError(problem, path, "correct the header, or get the file again")
    pairs = []
    for position, (number, line) in enumerate(body):
        fold, place = divmod(position, genuine + impostors)
        pairs.append(_pair(line, place < genuine, fold + 1, number, path))
    return PairList(tuple(pairs), folds, genuine + impostors)


def _counts(header: list[str]) -> tuple[int, int, int]:
    numbers = [int(word) for word in header]
    folds = 1 if len(numbers) == 1 else numbers[0]
    genuine = numbers[0] if len(numbers) == 1 else numbers[1]
    return folds, genuine, numbers[2] if len(numbers) == 3 else genuine


def is_people_list(path: Path) -> bool:
    """Whether a file lists people, `name<TAB>photos`, not pairs."""
    for line in _lines(path):
        words = _words(line)
        if len(words) > 1 and not all(map(_is_number, words)):
            return len(words) == 2
    return False


def read_people(path: Path) -> tuple[PersonPhotos, ...]:
    """The people of people.txt, or of View 1's peopleDevTrain.txt and peopleDevTest.txt, which have one fold.

    The first line is the number of folds, and each fold begins with the number of its people. In a file of one fold the
    first line is the number of people. Raises CosfaceError naming the first wrong line.
    """
    body = [(number, _words(line)) for number, line in enumerate(_lines(path), 1) if line.strip()]
    single = len(body) > 1 and len(body[1][1]) == 2
    people: list[PersonPhotos] = []
    at = 0 if single else 1
    if not body or len(body[0][1]) != 1 or not _is_number(body[0][1][0]):
        raise CosfaceError("not an LFW list of people: the first line is not a number", path, "give LFW's people.txt")
    folds = 1 if single else int(body[0][1][0])
    for fold in range(1, folds + 1):
        number, words = body[at] if at < len(body) else (body[-1][0] + 1, [])
        if len(words) != 1 or not _is_number(words[0]):
            problem = f"line {number} should be the number of people in fold {fold}"
            raise CosfaceError(problem, path, "correct the line")
        count = int(words[0])
        for number, words in body[at + 1 : at + 1 + count]:
            if len(words) != 2 or not _is_number(words[1]):
                raise CosfaceError(f"line {number} should be `name, photos`", path, "correct the line")
            people.append(PersonPhotos(words[0], int(words[1]), fold))
        at += 1 + count
    if at != len(body):
        problem = f"the counts add up to {at} lines, but there are {len(body)}"
        raise CosfaceError(problem, path, "correct the counts, or get the file again")
    return tuple(people)


def read_text(path: Path) -> str:
    """The text of a list; bytes that are not UTF-8 become lone surrogates. Raises CosfaceError."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give a list of pairs") from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    return text.replace("\r\n", "\n")


def _lines(path: Path) -> list[str]:
    return read_text(path).split("\n")


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split("\t")] if "\t" in line else line.split()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def _pair(line: str, same: bool, fold: int, number: int, path: Path) -> Pair:
    words = _words(line)
    count = 3 if same else 4
    digits = words[1::2] if not same else words[1:]
    if len(words) != count or not all(map(_is_number, digits)):
        kind = "a genuine pair, `name, number, number`" if same else "an impostor pair, `name, number, name, number`"
        raise CosfaceError(f"line {number} should be {kind}", path, "correct the line")
    other = words[0] if same else words[2]
    return Pair(_photo(words[0], words[1]), _photo(other, words[-1]), same, fold)


def _photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
