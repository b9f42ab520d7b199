"""Two photos: the cosine of their faces against a threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosface_cli.artifacts.crops import find_crop
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.face_vectors import FaceVectors, Input, VectorsOpener
from cosface_cli.engines.reader import CHOICES, Limits
from cosface_cli.engines.runners.local import single_threaded
from cosface_cli.engines.sources import File
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, Tell, ignore
from cosface_cli.registry import one_of
from cosface_cli.verify import TwoConfig, TwoReport


def verify_two(config: TwoConfig, tell: Tell = ignore) -> TwoReport:
    """Compare the faces of two photos.

    Raises CosfaceError where a photo has no usable face, and where neither the model nor the caller gives a threshold.
    """
    one_of(config.flip, FLIPS, "--flip")
    one_of(config.faces, tuple(c for c in CHOICES if c != "all"), "--faces")
    flip: Any = config.flip
    choice: Any = config.faces
    embedder = open_embedder(config.model)
    threshold = config.threshold if config.threshold is not None else embedder.thresholds.get(config.flip)
    if threshold is None:
        raise CosfaceError(
            f"no threshold is known for {embedder.name} with --flip {config.flip}", mend="give one with --threshold"
        )
    single_threaded()
    how = VectorsOpener((config.model,), flip, config.detector, choice, Limits(config.min_face))
    embed = FaceVectors([embedder], how)
    paths = (config.left, config.right)
    results = embed([_input(path) for path in paths])
    vectors = []
    for path, (result,) in zip(paths, results, strict=True):
        if result.reason is not None or result.vectors is None:
            raise CosfaceError(result.words)
        if result.found > 1:
            tell(Note(f"{path}: {result.found} faces, the {_chosen(config.faces)} one was taken"))
        vectors.append(result.vectors[0].astype(np.float64))
    cos = float(np.clip(vectors[0] @ vectors[1], -1.0, 1.0))
    return TwoReport(
        left=str(config.left),
        right=str(config.right),
        cos=round(cos, 6),
        threshold=threshold,
        same=cos >= threshold,
        far=None,
        model=embedder.name,
        model_id=embedder.model_id,
        flip=config.flip,
    )


def _input(path: Path) -> Input:
    return Input(File(path), find_crop(path))


def _chosen(choice: str) -> str:
    return "most central" if choice == "center" else choice
