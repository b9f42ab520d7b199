"""The figures of a test set with all its faces, and without those that are in the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.counting.pair_counts import count_all_pairs
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.verify.faces.open_faces import is_store
from cosface_cli.verify.figures.protocol_figures import FARS, report_of
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.tested_faces import FaceOfTest
from cosface_cli.verify.protocols import PROTOCOLS, recognise
from cosface_cli.verify.protocols.protocol_config import ProtocolConfig
from cosface_cli.verify.stage import run_protocol


def score_without_shared(
    config: LeakageConfig, test: Sequence[FaceOfTest], photos: set[int], people: set[str], emit: OnOutcome
) -> tuple[Mapping[str, object], ...]:
    """Figures with all faces, without those photos, and without those people and photos."""
    parts = {"all": np.ones(len(test), bool)}
    if photos:
        parts["without the photos"] = np.array([number not in photos for number in range(len(test))])
    if people:
        others = np.array([face.person not in people for face in test])
        parts["without the people"] = others & parts.get("without the photos", True)
    if config.pairs is None:
        return tuple(
            {"of": of, "accuracy": None, "tar_at_far": _all_pairs(test, mask, config)} for of, mask in parts.items()
        )
    protocol = _protocol(config)
    scores, _ = run_protocol(protocol, emit)
    if scores.pairs is None:
        raise CosfaceError("the list names no pairs that can be scored again", config.pairs, "give a list of pairs")
    rows = []
    for of, mask in parts.items():
        removed = {face.path for face, keep in zip(test, mask, strict=True) if not keep}
        # a clip or a template with one of those photos in it is removed too
        keep_name = np.array([removed.isdisjoint(str(one.place) for one in files) for files in scores.pairs.pictures])
        pairs = scores.pairs.subset(keep_name[scores.pairs.left] & keep_name[scores.pairs.right])
        try:
            report = report_of("", replace(scores, pairs=pairs), config.test, 0.0)
        except CosfaceError as error:  # too few pairs are left
            emit(Note(f"{of}: no score ({error.problem})"))
            continue
        rows.append({"of": of, "accuracy": report.accuracy, "tar_at_far": report.tar_at_far})
    return tuple(rows)


def _protocol(config: LeakageConfig) -> ProtocolConfig:
    """The protocol that recognises the list of pairs."""
    kind: Any = PROTOCOLS.load(recognise(config.test, {"pairs": config.pairs})[0])
    for_photos = {"detector": config.detector, "faces": config.faces, "min_face": config.min_face}
    chosen: ProtocolConfig = kind(
        source=config.test,
        pairs=config.pairs,
        models=config.models,
        workers=config.workers,
        **({} if is_store(config.test) else for_photos),
    )
    return chosen


def _all_pairs(
    test: Sequence[FaceOfTest], mask: NDArray[np.bool_], config: LeakageConfig
) -> tuple[Mapping[str, object], ...]:
    faces = [face for face, keep in zip(test, mask, strict=True) if keep and face.identity]
    if not faces:
        return ()
    vectors = np.stack([face.vector for face in faces])
    codes = np.unique([face.identity for face in faces], return_inverse=True)[1].astype(np.int64)
    counts = count_all_pairs(lambda start, stop: vectors[start:stop], codes, ignore, config.workers)
    if not counts.genuine.any() or not counts.impostors.any():
        return ()
    curve = curve_of_bins(counts.genuine, counts.impostors)
    return tuple(asdict(tar_at_far(curve, far)) for far in FARS)
