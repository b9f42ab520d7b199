"""YouTube Faces (Wolf 2011): pairs of clips, each a folder of frames or a video, pooled over its frames.

Source is the folder of people's folders of clips, or holds splits.txt beside it as frames/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.lists.pair_table import read_pair_rows
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.registry import one_of
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import open_faces
from cosface_cli.verify.figures.pair_scores import PairScores, Scored, pair_cosines
from cosface_cli.verify.figures.rates_by_far import accuracy
from cosface_cli.verify.protocols.listed_pairs import first_level, places

LIST = "splits.txt"
FRAMES = "frames"
POOLINGS = ("embedding", "scores")


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The pairs of the list, by clips.

    frames: of each clip that many, evenly spread, 0 all; frames without a face are passed over and counted. pooling:
    "embedding" compares the means of the clips' embeddings by their cosine; "scores" takes the mean of the cosines of
    all pairs of frames, which is the dot product of those means. The accuracy of both is told.
    """
    one_of(config.pooling, POOLINGS, "--pooling")
    root, listed = places(config, LIST, FRAMES)
    rows = read_pair_rows(listed)
    if any(row.same is None or not row.left for row in rows):
        raise CosfaceError("not every row names two clips and whether they are the same", listed, "get the list again")
    faces = open_faces(config, root)
    clips = clips_of(faces.names)
    names = tuple(dict.fromkeys(name for row in rows for name in (row.left, row.right)))
    chosen = [spread(clips.get(name, []), config.frames) for name in names]
    wanted = [frame for frames in chosen for frame in frames]
    if not wanted:
        raise CosfaceError(f"none of the clips of {listed} are here, as {names[0]}", root, "give their root folder")
    embedded = faces.embed(wanted, emit)
    means = clip_means(embedded.vectors, [len(frames) for frames in chosen])
    frames = iter(embedded.shown)
    shown = tuple(tuple(islice(frames, len(own))) for own in chosen)
    place = {name: number for number, name in enumerate(names)}
    left = np.array([place[row.left] for row in rows], np.int64)
    right = np.array([place[row.right] for row in rows], np.int64)

    def pooled(pooling: str) -> PairScores:
        lengths = np.linalg.norm(means.astype(np.float64), axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # a mean of nothing is no direction
            vectors = (means / lengths).astype(np.float32) if pooling == "embedding" else means
        return PairScores(
            scores=pair_cosines(vectors, left, right),
            same=np.array([row.same for row in rows], bool),
            left=left,
            right=right,
            names=names,
            identities=tuple(map(first_level, names)),
            fold=np.array([row.fold for row in rows], np.int64),
            shown=shown,
        )

    both = {pooling: pooled(pooling) for pooling in POOLINGS}
    pairs = both[config.pooling]
    by_folds = pairs.folds > 1
    accuracies = {name: accuracy(found, config, by_folds) for name, found in both.items()}
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=pairs,
        by_folds=by_folds,
        missing=tuple(name for name, mean in zip(names, means, strict=True) if np.isnan(mean[0])),
        list_hash=file_sha256(listed),
        details={
            "pooling": config.pooling,
            "frames": config.frames or "all",
            "clips": len(names),
            "frames_used": len(wanted) - len(embedded.missing),
            "frames_without_face": len(embedded.missing),
            "accuracy_by_pooling": {name: found.mean for name, found in accuracies.items() if found is not None},
        },
    )


def clips_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Frames by their clip, in the order of the numbers in their names; the clip of a video has no ending."""
    found: dict[str, list[str]] = {}
    for name in names:
        folder = name.rpartition("/")[0]
        for clip in {folder, stem(folder)}:
            found.setdefault(clip, []).append(name)
    return {clip: sorted(frames, key=_by_number) for clip, frames in found.items()}


def spread(frames: list[str], count: int) -> list[str]:
    """Up to count of the frames, evenly from the first to the last; 0: all."""
    if count == 0 or count >= len(frames):
        return frames
    return [frames[place] for place in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def clip_means(vectors: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
    """The mean (C, D) of each run of rows of vectors (N, D), NaN rows passed over; NaN where a run has no other."""
    out = np.full((len(counts), vectors.shape[1]), np.nan, np.float32)
    start = 0
    for clip, count in enumerate(counts):
        own = vectors[start : start + count].astype(np.float64)
        own = own[np.isfinite(own).all(axis=1)]
        if len(own):
            out[clip] = own.mean(axis=0)
        start += count
    return out


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
