"""What a test set says of a model with all its faces, and without those that are in the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.counting.all_pairs import count_all_pairs
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import is_store
from cosface_cli.verify.figures.rates_by_far import FARS, report_of
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.tested import Face
from cosface_cli.verify.stage import run_protocol


def scored_again(
    config: LeakageConfig, test: Sequence[Face], photos: set[int], people: set[str], emit: OnOutcome
) -> tuple[Mapping[str, Any], ...]:
    """What the test says with all its faces, without those photos, and without those people and photos."""
    parts = {"all": np.ones(len(test), bool)}
    if photos:
        parts["without the photos"] = np.array([number not in photos for number in range(len(test))])
    if people:
        apart = np.array([face.person not in people for face in test])
        parts["without the people"] = apart & parts.get("without the photos", True)
    if config.pairs is None:
        return tuple(
            {"of": of, "accuracy": None, "tar_at_far": _all_pairs(test, kept, config)} for of, kept in parts.items()
        )
    run = ProtocolConfig(config.test, pairs=config.pairs, models=config.models, workers=config.workers)
    if not is_store(config.test):
        run = replace(run, detector=config.detector, faces=config.faces, min_face=config.min_face)
    scored, _ = run_protocol(run, emit)
    if scored.pairs is None:
        raise CosfaceError("it names no pairs to be scored again", config.pairs, "give a list of pairs")
    out = []
    for of, kept in parts.items():
        gone = {face.path for face, keep in zip(test, kept, strict=True) if not keep}
        # also a clip, or a template, with one of those photos in it
        whole = np.array([gone.isdisjoint(str(one.place) for one in shown) for shown in scored.pairs.shown])
        pairs = scored.pairs.chosen(whole[scored.pairs.left] & whole[scored.pairs.right])
        try:
            report = report_of("", replace(scored, pairs=pairs), run, 0.0)
        except CosfaceError as error:  # too few are left
            emit(Note(f"{of}: no score ({error.problem})"))
            continue
        out.append({"of": of, "accuracy": report.accuracy, "tar_at_far": report.tar_at_far})
    return tuple(out)


def _all_pairs(test: Sequence[Face], kept: NDArray[np.bool_], config: LeakageConfig) -> tuple[Mapping[str, Any], ...]:
    faces = [face for face, keep in zip(test, kept, strict=True) if keep and face.identity]
    if not faces:
        return ()
    vectors = np.stack([face.vector for face in faces])
    codes = np.unique([face.identity for face in faces], return_inverse=True)[1].astype(np.int64)
    counts = count_all_pairs(lambda start, stop: vectors[start:stop], codes, ignore, config.workers)
    if not counts.genuine.any() or not counts.impostors.any():
        return ()
    curve = curve_of_bins(counts.genuine, counts.impostors)
    return tuple(asdict(tar_at_far(curve, far)) for far in FARS)
