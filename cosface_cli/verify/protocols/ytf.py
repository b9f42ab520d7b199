"""YouTube Faces (Wolf 2011): pairs of clips, each a folder of frames or a video, pooled over its frames.

Source is the folder of people's folders of clips, or holds splits.txt beside it as frames/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from cosface_cli.artifacts.lists.pair_table import list_kind, read_pair_rows
from cosface_cli.errors import CosfaceError
from cosface_cli.options import option
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify.protocols.protocol_config import OptionsByField, PairListConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

LIST = "splits.txt"
FRAMES = "frames"
GROUP = "Protocol ytf"
Pooling = Literal["embedding", "scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class YtfConfig(PairListConfig):
    """The pairs of the list, by clips. Frames without a face are skipped and counted."""

    pooling: Annotated[
        Pooling,
        option(
            "embedding: cosine of the clips' mean embeddings. scores: mean cosine over all pairs of frames.",
            group=GROUP,
        ),
    ] = "embedding"
    frames: Annotated[int, option("Frames of each clip, evenly spaced; 0 takes all.", at_least=0, group=GROUP)] = 0

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        pairs: Path | None = options.get("pairs")
        if pairs is None:
            return f"{LIST} lies in {source}" if (source / LIST).is_file() else None
        return f"{pairs.name} begins as YTF's does" if pairs.is_file() and list_kind(pairs) == "ytf" else None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """The accuracy with either pooling is reported."""
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.faces.source import first_level, read_faces
        from cosface_cli.verify.figures.protocol_figures import accuracy
        from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores, pair_cosines
        from cosface_cli.verify.protocols.listed_pairs import find_list

        root, listed = find_list(self, LIST, FRAMES)
        rows = read_pair_rows(listed)
        if any(row.same is None or not row.left for row in rows):
            raise CosfaceError(
                "not every row names two clips and whether they are the same", listed, "get the list again"
            )
        names = tuple(dict.fromkeys(name for row in rows for name in (row.left, row.right)))
        with open_faces(self, root, self.crops_template, emit) as faces:
            clips = frames_by_clip(faces.names)
            chosen = [evenly_spaced(clips.get(name, []), self.frames) for name in names]
            if not any(chosen):
                problem = f"none of the clips of {listed} exist here, such as {names[0]}"
                raise CosfaceError(problem, root, "give their root folder")
            table = read_faces(faces, [frame for frames in chosen for frame in frames], emit)
        row_of = {name: number for number, name in enumerate(table.names)}
        frame_rows = [row_of[frame] for frames in chosen for frame in frames]
        means = clip_means(table.vectors[frame_rows], [len(frames) for frames in chosen])
        with np.errstate(invalid="ignore"):  # NaN for clips without a face
            unit_means = (means / np.linalg.norm(means.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
        pictures = iter([table.pictures[row] for row in frame_rows])
        number_of = {name: number for number, name in enumerate(names)}
        left = np.array([number_of[row.left] for row in rows], np.int64)
        right = np.array([number_of[row.right] for row in rows], np.int64)
        clip_pictures = tuple(tuple(islice(pictures, len(frames))) for frames in chosen)

        def pairs_of(vectors: NDArray[np.float32]) -> PairScores:
            return PairScores(
                scores=pair_cosines(vectors, left, right),
                same=np.array([row.same for row in rows], bool),
                left=left,
                right=right,
                names=names,
                identities=tuple(map(first_level, names)),
                fold=np.array([row.fold for row in rows], np.int64),
                pictures=clip_pictures,
            )

        # the dot product of two means is the mean of the dot products
        pooled: dict[Pooling, PairScores] = {"embedding": pairs_of(unit_means), "scores": pairs_of(means)}
        pairs = pooled[self.pooling]
        by_folds = pairs.folds > 1
        folds = {name: accuracy(pooled[name], self.missing, self.source, by_folds) for name in get_args(Pooling)}
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=pairs,
            by_folds=by_folds,
            missing=tuple(name for name, mean in zip(names, means, strict=True) if np.isnan(mean[0])),
            missing_rule=self.missing,
            list_hash=file_sha256(listed),
            details={
                "pooling": self.pooling,
                "frames": self.frames or "all",
                "clips": len(names),
                "frames_used": len(table.names) - len(table.missing),
                "frames_without_face": len(table.missing),
                "accuracy_by_pooling": {name: result.mean for name, result in folds.items() if result is not None},
            },
        )


def frames_by_clip(names: Sequence[str]) -> dict[str, list[str]]:
    """Frames by their clip, in the order of the numbers in their names. The clip of a video is without its ending."""
    from cosface_cli.engines.photos.pair_photos import stem

    clips: dict[str, list[str]] = {}
    for name in names:
        folder = name.rpartition("/")[0]
        for clip in {folder, stem(folder)}:
            clips.setdefault(clip, []).append(name)
    return {clip: sorted(frames, key=_by_number) for clip, frames in clips.items()}


def evenly_spaced(frames: list[str], count: int) -> list[str]:
    """Up to count of the frames, evenly spaced from the first to the last; 0: all."""
    import numpy as np

    if count == 0 or count >= len(frames):
        return frames
    return [frames[place] for place in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def clip_means(vectors: NDArray[np.float32], counts: Sequence[int]) -> NDArray[np.float32]:
    """The mean (C, D) of each run of rows of vectors (N, D) without the NaN rows; NaN for a run of no others."""
    import numpy as np

    out = np.full((len(counts), vectors.shape[1]), np.nan, np.float32)
    start = 0
    for clip, count in enumerate(counts):
        frames = vectors[start : start + count].astype(np.float64)
        frames = frames[np.isfinite(frames).all(axis=1)]
        if len(frames):
            out[clip] = frames.mean(axis=0)
        start += count
    return out


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
