"""A list of pairs by LFW's protocol: every photo embedded once, each fold's threshold chosen on the others."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.face_vectors import VectorsOpener
from cosface_cli.engines.pair_files import PairFiles, find_pair_files
from cosface_cli.engines.reader import CHOICES, Limits
from cosface_cli.engines.runners.local import cpu_count, run
from cosface_cli.engines.warp import require_cover
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.roc import fold_accuracy, rate_at, threshold_at_far
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Tell, ignore
from cosface_cli.registry import one_of
from cosface_cli.verify import PairsConfig, PairsReport

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
STANDARD_PAIRS = 6000  # of LFW's View 2
CHUNK = 8  # photos handed to a worker at a time


def verify_pairs(config: PairsConfig, tell: Tell = ignore) -> PairsReport:
    """Score the pairs of a list under config.root.

    A pair with a photo that has no file or no face counts as an error and is named. Raises CosfaceError for a list
    that does not fit its header, fewer than two folds, and crops that do not show what the model needs.
    """
    started = time.monotonic()
    one_of(config.flip, FLIPS, "--flip")
    one_of(config.faces, tuple(c for c in CHOICES if c != "all"), "--faces")
    embedder = open_embedder(config.model)
    open_detector(config.detector, config.min_face)  # a wrong name fails before any work
    files = find_pair_files(config.pairs, config.root, config.crops_template)
    if files.listed.folds < 2:
        raise CosfaceError("one fold leaves nothing to choose its threshold on", config.pairs, "give two or more folds")
    for name in {item.crop.template.name for item in files.inputs if item.crop is not None}:
        require_cover(template(name), template(embedder.template), config.root)
    tell(Planned(len(files.inputs)))
    vectors, missing, data = _embedded(config, files, tell)
    have = np.append(np.isfinite(vectors[:, 0]), False)  # the last one stands for index -1
    known = have[files.left] & have[files.right]
    scores = np.full(len(known), -1.0)
    scores[known] = np.einsum("nd,nd->n", vectors[files.left[known]], vectors[files.right[known]])
    if known.any() and np.ptp(scores[known]) == 0:
        tell(Note("all pairs score the same: the network tells no face from another"))
    for fold in range(1, files.listed.folds + 1):
        if not (known & (files.fold != fold)).any():
            raise CosfaceError("no pair outside one of the folds has two faces", config.root, "check the photos")
    folds = fold_accuracy(scores, files.same, files.fold, ~known)
    if files.listed.folds * files.listed.per_fold != STANDARD_PAIRS or files.listed.folds != 10:
        tell(Note(f"{len(known)} pairs in {files.listed.folds} folds: not the standard {STANDARD_PAIRS} in 10"))
    return PairsReport(
        protocol="lfw",
        pairs=len(known),
        folds=files.listed.folds,
        scored=int(known.sum()),
        accuracy=folds.mean,
        accuracy_se=folds.standard_error,
        fold_accuracy=folds.accuracies,
        thresholds=folds.thresholds,
        tar_at_far=tuple(tar_at_far(scores[known], files.same[known], far) for far in FARS),
        missing=missing,
        model=embedder.name,
        model_id=embedder.model_id,
        flip=config.flip,
        data=data,
        seconds=round(time.monotonic() - started, 2),
    )


def tar_at_far(scores: NDArray[np.float64], same: NDArray[np.bool_], far: float) -> dict[str, Any]:
    """TAR with its exact 95 % interval at the lowest threshold whose FAR on these pairs is at most `far`.

    tar is None where the impostor pairs cannot resolve that FAR; needs_impostors then says how many could.
    """
    impostors, genuine = scores[~same], scores[same]
    threshold = threshold_at_far(impostors, far)
    out: dict[str, Any] = {"far": far, "genuine": int(genuine.size), "impostors": int(impostors.size)}
    if threshold is None or not genuine.size:
        return {**out, "tar": None, "needs_impostors": round(1 / far)}
    accepted, total = rate_at(genuine, threshold)
    passed, _ = rate_at(impostors, threshold)
    low, high = clopper_pearson(accepted, total)
    achieved = passed / impostors.size
    return {**out, "tar": accepted / total, "low": low, "high": high, "threshold": threshold, "achieved_far": achieved}


def _embedded(config: PairsConfig, files: PairFiles, tell: Tell) -> tuple[NDArray[np.float64], tuple[str, ...], str]:
    """Vectors (N, D) of the distinct photos, NaN where there is no face; names without one; a hash of all files."""
    flip: Any = config.flip
    choice: Any = config.faces
    how = VectorsOpener((config.model,), flip, config.detector, choice, Limits(config.min_face))
    inputs = files.inputs
    chunks = [list(inputs[i : i + CHUNK]) for i in range(0, len(inputs), CHUNK)]
    workers = min(config.workers or cpu_count(), len(chunks))
    rows: list[NDArray[np.float64] | None] = []
    missing = list(files.absent)
    digest = hashlib.sha256()
    for chunk, results in run(chunks, how, workers):
        for item, (result,) in zip(chunk, results, strict=True):
            digest.update(f"{files.names[len(rows)]} {result.hash}\n".encode("utf-8", "surrogateescape"))
            if result.reason is not None or result.vectors is None:
                missing.append(files.names[len(rows)])
                rows.append(None)
                tell(Rejected(str(item.place), result.reason or "no_face", result.words))
            else:
                rows.append(result.vectors[0].astype(np.float64))
                tell(Done(str(item.place)))
    size = next((row.size for row in rows if row is not None), 1)
    nothing = np.full(size, np.nan)
    return np.stack([nothing if row is None else row for row in rows]), tuple(missing), digest.hexdigest()
