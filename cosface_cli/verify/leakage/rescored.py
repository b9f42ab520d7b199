"""What a test set says of a model with all its faces, and without those that are in the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.all_pairs import count_all_pairs
from cosface_cli.engines.pair_files import stem
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import Note, Tell, ignore
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces import is_store
from cosface_cli.verify.figures import FARS, report_of
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.tested import Face
from cosface_cli.verify.protocol import run_protocol
from cosface_cli.verify.protocols.guessing import guess

PHOTO_PAIRS = ("lfw", "csv")  # protocols whose pairs are of photos, by the names of the test's


def require_photo_pairs(config: LeakageConfig) -> None:
    """Raises CosfaceError where a list is of another kind: of clips, or templates."""
    if config.pairs is None:
        return
    protocol, _ = guess(_run(config))
    if protocol not in PHOTO_PAIRS:
        raise CosfaceError(f"{protocol}'s pairs are not of single photos", config.pairs, "give LFW's pairs, or a CSV")


def scored_again(
    config: LeakageConfig, test: Sequence[Face], photos: set[int], people: set[str], tell: Tell
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
    run = _run(config)
    scored, _ = run_protocol(run, tell)
    out = []
    for of, kept in parts.items():
        gone = {face.name for face, keep in zip(test, kept, strict=True) if not keep}
        gone |= {stem(name) for name in gone}
        assert scored.pairs is not None
        named = np.array([name not in gone for name in scored.pairs.names])
        pairs = scored.pairs.chosen(named[scored.pairs.left] & named[scored.pairs.right])
        try:
            report = report_of("", replace(scored, pairs=pairs), run, 0.0)
        except CosfaceError as error:  # too few are left
            tell(Note(f"{of}: no score ({error.problem})"))
            continue
        out.append({"of": of, "accuracy": report.accuracy, "tar_at_far": report.tar_at_far})
    return tuple(out)


def _run(config: LeakageConfig) -> ProtocolConfig:
    run = ProtocolConfig(config.test, pairs=config.pairs, models=config.models, workers=config.workers)
    if is_store(config.test):
        return run
    return replace(run, detector=config.detector, faces=config.faces, min_face=config.min_face)


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
