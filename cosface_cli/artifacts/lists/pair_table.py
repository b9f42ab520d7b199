"""Lists of pairs with named columns: CSV, TSV or NDJSON; YTF's splits.txt (Wolf 2011) is one.

left and right are the names of the two sides; same is whether they show one person; fold, score and the identities are
optional. Other columns are read unchanged. artifacts/README.md lists all accepted names of columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cosface_cli.artifacts.files.atomic import write_text
from cosface_cli.artifacts.lists.lfw_lists import read_text
from cosface_cli.errors import CosfaceError

COLUMNS = {
    "left": ("left", "a", "first", "first name", "file1", "photo1", "image1", "img1", "path1", "name1", "template1"),
    "right": (
        "right",
        "b",
        "second",
        "second name",
        "file2",
        "photo2",
        "image2",
        "img2",
        "path2",
        "name2",
        "template2",
    ),
    "same": ("same", "is same", "issame", "label", "genuine", "match", "target"),
    "fold": ("fold", "split", "split number"),
    "score": ("score", "cos", "cosine", "similarity"),
    "left_identity": ("left identity", "identity1", "id1", "person1"),
    "right_identity": ("right identity", "identity2", "id2", "person2"),
}
_YES = {"1", "true", "yes", "same", "genuine"}
_NO = {"0", "-1", "false", "no", "different", "impostor"}
_HINT = "give a first line such as left,right,same"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """A pair of a list with named columns."""

    left: str
    """Name as written; empty in a list of scores only."""
    right: str
    """Name as written; empty in a list of scores only."""
    same: bool | None
    """Whether it is one person; None if the list has no such column or an empty field."""
    fold: int = 1
    """Number of the fold; 1 if the list has none."""
    score: float | None = None
    """The score in the list, if there is one."""
    left_identity: str = ""
    """Identity of the left side; empty if the list has none."""
    right_identity: str = ""
    """Identity of the right side; empty if the list has none."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """All other columns, by name."""


def read_pair_rows(path: Path) -> tuple[PairRow, ...]:
    """The rows of a list. Raises CosfaceError naming the first wrong line, or the missing columns."""
    text = read_text(path)
    lines = _objects(text, path) if text.lstrip()[:1] == "{" else _table(text, path)
    rows = tuple(_row(number, values, path) for number, values in lines)
    if not rows:
        raise CosfaceError("no pairs here", path, _HINT)
    return rows


def write_pair_rows(path: Path, rows: Iterable[PairRow]) -> None:
    """Write a list as CSV, whole or not at all. Reading it gives the same rows, without `extra`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("left", "right", "same", "fold", "score", "identity1", "identity2"))
    for row in rows:
        same = "" if row.same is None else int(row.same)
        score = "" if row.score is None else repr(row.score)
        writer.writerow((row.left, row.right, same, row.fold, score, row.left_identity, row.right_identity))
    write_text(path, text.getvalue())


def list_kind(path: Path) -> str | None:
    """The kind of a list, by its first line: "lfw", "ytf", "csv" for any other list with named columns, or None."""
    first = read_text(path).partition("\n")[0]
    words = first.split()
    if words and all(word.isdigit() for word in words):
        return "lfw"
    columns = [name.strip() for name in first.replace("\t", ",").replace(";", ",").split(",")]
    if any(name.lower() == "split number" for name in columns):
        return "ytf"
    return "csv" if first.lstrip().startswith("{") or any(map(column_of, columns)) else None


def column_of(name: str) -> str | None:
    """The key in COLUMNS of a column's name, or None; case is ignored, and blanks, dashes and underscores are equal."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return next((column for column, names in COLUMNS.items() if plain in names), None)


def _table(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in ("\t", ",", ";") if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        columns = [column_of(name) or name for name in head]
        if len(set(columns)) < len(columns):
            twice = next(name for name, column in zip(head, columns, strict=True) if columns.count(column) > 1)
            raise CosfaceError(f"the first line has two columns for {column_of(twice) or twice!r}", path, _HINT)
        if not ({"left", "right"} <= set(columns) or "score" in columns):
            raise CosfaceError("the first line has neither columns for two sides nor one for a score", path, _HINT)
        for cells in reader:
            if len(cells) == len(columns):
                yield reader.line_num, dict(zip(columns, cells, strict=True))
            elif any(cell.strip() for cell in cells):
                problem = f"line {reader.line_num} has {len(cells)} fields, the first line {len(columns)}"
                raise CosfaceError(problem, path, "correct the line")
    except csv.Error as error:
        raise CosfaceError(f"line {reader.line_num} is not CSV ({error})", path, "correct the line") from None


def _objects(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise CosfaceError(f"line {number} is not a JSON object", path, "correct the line")
        values = {column_of(name) or name: _text(value) for name, value in fields.items()}
        if not ({"left", "right"} <= set(values) or "score" in values):
            raise CosfaceError(f"line {number} has neither two sides nor a score", path, "add left and right")
        yield number, values


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value) if isinstance(value, bool | int | float) else json.dumps(value)


def _row(number: int, values: dict[str, str], path: Path) -> PairRow:
    def wrong(rule: str, value: str) -> CosfaceError:
        return CosfaceError(f"line {number}: {rule}, got {value[:40]!r}", path, "correct the line")

    same: bool | None = None
    label = values.get("same", "").strip().lower()
    if label:
        if label not in _YES | _NO:
            raise wrong("same must be 1 or 0", label)
        same = label in _YES
    fold = values.get("fold", "").strip()
    if fold and not (fold.isascii() and fold.isdigit() and len(fold) < 10):
        raise wrong("fold must be a whole number", fold)
    score: float | None = None
    if values.get("score", "").strip():
        try:
            score = float(values["score"])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise wrong("score must be a finite number", values["score"])
    left, right = values.get("left", ""), values.get("right", "")
    if ("left" in values or "right" in values) and not (left and right):
        raise CosfaceError(f"line {number} has only one side", path, "correct the line")
    extra = {name: value for name, value in values.items() if name not in COLUMNS}
    return PairRow(
        left=left,
        right=right,
        same=same,
        fold=int(fold or 1),
        score=score,
        left_identity=values.get("left_identity", ""),
        right_identity=values.get("right_identity", ""),
        extra=extra,
    )
