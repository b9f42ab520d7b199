"""IJB's templates: the media of one person as one vector, and the pairs of templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.ijb_meta import Media, MetaFiles, read_subjects, read_template_pairs
from cosface_cli.errors import CosfaceError
from cosface_cli.verify.faces.source import FacePicture, FaceTable
from cosface_cli.verify.figures.protocol_scores import PairScores, pair_cosines


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Templates:
    """The T templates of a set."""

    numbers: NDArray[np.int64]
    """(T,) rising."""
    vectors: NDArray[np.float32]
    """(T, D) of unit length, NaN for a template without a face."""
    pictures: tuple[tuple[FacePicture, ...], ...]
    """The photos behind each template."""

    def rows(self, numbers: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
        """The rows of some templates of the list at path. Raises CosfaceError for one that has no photos."""
        rows = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        unknown = np.flatnonzero(self.numbers[rows] != numbers)
        if unknown.size:
            problem = f"template {numbers[unknown[0]]} has no photos in the list of media"
            raise CosfaceError(problem, path, "use lists of one set")
        return np.asarray(rows, np.int64)


def read_templates(media: Media, table: FaceTable, rows: NDArray[np.int64], weights: NDArray[np.float64]) -> Templates:
    """The templates of a list of media with P photos.

    rows: (P,) of each photo in the table, -1 for a photo that does not exist; weights: (P,) of each photo.
    """
    usable = (rows >= 0) & table.usable[rows] & (weights > 0)
    order = np.lexsort((media.media, media.templates))
    numbers, starts = np.unique(media.templates[order], return_index=True)
    vectors = np.full((len(numbers), table.vectors.shape[1]), np.nan, np.float32)
    pictures = []
    for number, members in enumerate(np.split(order, starts[1:])):
        members = members[usable[members]]
        pictures.append(tuple(table.pictures[row] for row in rows[members]))
        if members.size:
            weighted = table.vectors[rows[members]].astype(np.float64) * weights[members, None]
            vectors[number] = template_vector(weighted, media.media[members])
    return Templates(numbers=numbers, vectors=vectors, pictures=tuple(pictures))


def template_vector(vectors: NDArray[np.float64], media: NDArray[np.int64]) -> NDArray[np.float64]:
    """One template (D,): the sum over media of the mean of the vectors (N, D) of each, at unit length."""
    _, medium_of_row = np.unique(media, return_inverse=True)
    sums = np.zeros((int(medium_of_row.max()) + 1, vectors.shape[1]))
    np.add.at(sums, medium_of_row, vectors)
    total = (sums / np.bincount(medium_of_row)[:, None]).sum(axis=0)
    length = np.linalg.norm(total)
    return np.asarray(total / length if length > 0 else np.full_like(total, np.nan))


def score_template_pairs(meta: MetaFiles, templates: Templates) -> PairScores:
    """The pairs of templates that the set lists."""
    assert meta.pairs is not None
    listed = read_template_pairs(meta.pairs)
    left, right = templates.rows(listed.left, meta.pairs), templates.rows(listed.right, meta.pairs)
    subjects: dict[int, int] = {}
    for path in (*meta.galleries.values(), *([meta.probes] if meta.probes is not None else [])):
        subjects |= read_subjects(path)
    return PairScores(
        scores=pair_cosines(templates.vectors, left, right),
        same=listed.same,
        left=left,
        right=right,
        names=tuple(map(str, templates.numbers)),
        identities=tuple(str(subjects.get(int(number), "")) for number in templates.numbers),
        fold=np.ones(len(left), np.int64),
        pictures=templates.pictures,
    )
