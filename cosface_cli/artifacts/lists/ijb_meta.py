"""The text files of IJB-B and IJB-C (Whitelam 2017, Maze 2018) in the form that researchers share.

ijbc_face_tid_mid.txt: lines `photo template media`; ijbc_template_pair_label.txt: lines `template template 0|1`;
ijbc_name_5pts_score.txt: lines `photo`, ten numbers x y of five landmarks, the detector's score;
ijbc_1N_gallery_G1.csv, _G2 (IJB-B: _S1, _S2) and ijbc_1N_probe_mixed.csv: a header line, then `template,subject,...`.
A template here is an IJB template: a set of media of one person.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.lfw_lists import read_text
from cosface_cli.errors import CosfaceError

MEDIA = "_face_tid_mid.txt"
PAIRS = "_template_pair_label.txt"
POINTS = "_name_5pts_score.txt"
GALLERIES = ("_1N_gallery_G1.csv", "_1N_gallery_G2.csv", "_1N_gallery_S1.csv", "_1N_gallery_S2.csv")
PROBES = "_1N_probe_mixed.csv"
_HINT = "get the file again"
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """The template and the medium of each photo."""

    names: tuple[str, ...]
    """Names of the photos."""
    templates: Ids
    """Template (N,) of each photo."""
    media: Ids
    """Medium (N,) of each photo."""


@dataclass(frozen=True, slots=True, eq=False)
class TemplatePairs:
    """Pairs of templates to compare."""

    left: Ids
    """Templates (P,)."""
    right: Ids
    """Templates (P,)."""
    same: NDArray[np.bool_]
    """Whether each pair (P,) is one person."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Landmarks and detection scores of the photos, by name."""

    landmarks: dict[str, tuple[tuple[float, float], ...]]
    """Five (x, y) in pixels of the photo."""
    scores: dict[str, float]
    """Detection scores, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaFiles:
    """The files of one set; None for a missing one."""

    name: str
    """Name of the set, such as ijbc."""
    media: Path
    """Photo, template and medium."""
    pairs: Path | None
    """Pairs of templates."""
    points: Path | None
    """Landmarks and detection scores."""
    probes: Path | None
    """Probe templates of the search."""
    galleries: dict[str, Path] = field(default_factory=dict)
    """Gallery templates, by short name such as G1."""

    @property
    def all(self) -> tuple[Path, ...]:
        """All files that are not missing."""
        files = (self.media, self.pairs, self.points, self.probes, *self.galleries.values())
        return tuple(file for file in files if file is not None)


def find_meta(folder: Path) -> MetaFiles:
    """The files of one set in a folder. Raises CosfaceError if the folder has no list of media, or several."""
    media_lists = sorted(folder.glob(f"*{MEDIA}"))
    if len(media_lists) != 1:
        names = " and ".join(path.name for path in media_lists)
        problem = f"files of several sets, {names}" if media_lists else f"no ...{MEDIA} here"
        raise CosfaceError(problem, folder, "give the folder of one set's meta files")
    name = media_lists[0].name.removesuffix(MEDIA)

    def existing(ending: str) -> Path | None:
        path = folder / (name + ending)
        return path if path.is_file() else None

    galleries = {ending.rpartition("_")[2].removesuffix(".csv"): existing(ending) for ending in GALLERIES}
    return MetaFiles(
        name=name,
        media=media_lists[0],
        pairs=existing(PAIRS),
        points=existing(POINTS),
        probes=existing(PROBES),
        galleries={short: path for short, path in galleries.items() if path is not None},
    )


def read_media(path: Path) -> Media:
    """The template and the medium of each photo. Raises CosfaceError naming the first wrong line."""
    rows = [(number, line.rsplit(maxsplit=2)) for number, line in _lines(path)]
    for number, words in rows:
        if len(words) != 3 or not all(map(_is_id, words[1:])):
            raise CosfaceError(f"line {number} should be `photo template media`", path, _HINT)
    templates = np.array([int(words[1]) for _, words in rows], np.int64)
    media = np.array([int(words[2]) for _, words in rows], np.int64)
    return Media(tuple(words[0] for _, words in rows), templates, media)


def read_template_pairs(path: Path) -> TemplatePairs:
    """Pairs of templates and whether they are one person. Raises CosfaceError for any other file."""
    try:
        with warnings.catch_warnings(action="ignore"):  # numpy warns of an empty file
            table = np.loadtxt(path, np.int64, comments=None, ndmin=2)  # millions of lines
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror or 'no such file'})", path, _HINT) from None
    except (ValueError, OverflowError, UnicodeError) as error:
        words = " ".join(str(error).split())[:120]
        raise CosfaceError(f"not lines of `template template 0|1` ({words})", path, _HINT) from None
    if table.shape[1:] != (3,) or not len(table) or not np.isin(table[:, 2], (0, 1)).all() or (table < 0).any():
        raise CosfaceError("not lines of `template template 0|1`", path, _HINT)
    return TemplatePairs(table[:, 0], table[:, 1], table[:, 2] == 1)


def read_points(path: Path) -> Points:
    """Landmarks and scores by photo. Raises CosfaceError naming the first wrong line."""
    landmarks, scores = {}, {}
    for number, line in _lines(path):
        name, *words = line.rsplit(maxsplit=11)
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != 11 or not np.isfinite(values).all():
            raise CosfaceError(f"line {number} should be `photo`, ten numbers and a score", path, _HINT)
        landmarks[name] = tuple(zip(values[0:10:2], values[1:10:2], strict=True))
        scores[name] = values[10]
    return Points(landmarks, scores)


def read_subjects(path: Path) -> dict[int, int]:
    """The subject of each template, from a list that may have several lines for one template.

    Raises CosfaceError naming the first wrong line, also if it gives a template a second subject.
    """
    subjects: dict[int, int] = {}
    for number, line in _lines(path)[1:]:
        words = [word.strip() for word in line.split(",")]
        if len(words) < 2 or not all(map(_is_id, words[:2])):
            raise CosfaceError(f"line {number} should begin `template,subject`", path, _HINT)
        template, subject = int(words[0]), int(words[1])
        if subjects.setdefault(template, subject) != subject:
            problem = f"line {number}: template {template} has the subjects {subjects[template]} and {subject}"
            raise CosfaceError(problem, path, _HINT)
    if not subjects:
        raise CosfaceError("no templates here", path, _HINT)
    return subjects


def _lines(path: Path) -> list[tuple[int, str]]:
    lines = [(number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    if not lines:
        raise CosfaceError("the list is empty", path, _HINT)
    return lines


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 19
