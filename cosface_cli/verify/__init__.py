"""verify: are two photos of one person, and how well does a model tell over a list of pairs?

from cosface_cli.verify.compare.comparing import compare_two
answer = compare_two("a.jpg", "b.jpg", CompareConfig())

from cosface_cli.verify.stage import verify_protocol
report = verify_protocol(ProtocolConfig(source=Path("lfw"), pairs=Path("pairs.txt")))
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

DEFAULT = ("dlib",)  # what embeds photos where nobody names a model


@dataclass(frozen=True, slots=True)
class CompareConfig:
    """How photos are compared with each other.

    models: what embeds them, none: the store's own or dlib; fuse: how several models' vectors are joined
    (engines.ensemble); stores: names are of their rows, and no photo is read; threshold: the cosine from which two
    faces count as one person, None: the model's own at a false accept rate of `far`; calibration: a file that says what
    scores mean, None: the model's own.
    """

    models: tuple[str, ...] = ()
    fuse: str = "mean"
    flip: str = "none"
    stores: tuple[Path, ...] = ()
    threshold: float | None = None
    far: float = 1e-3
    calibration: Path | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0

    def changed(self) -> frozenset[str]:
        """The fields that are not as they are by default."""
        return changed_fields(self)


@dataclass(frozen=True, slots=True)
class Warned:
    """What is to be known of a score. code: several_faces, tiny, blurred, identical_files, one_photo, copy or mirror;
    photo: whose it is, None for both; words: one sentence."""

    code: str
    photo: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Match:
    """Two faces. cos: of their embeddings, -1..1; same: cos >= threshold; far: the share of pairs of two people that
    score as much, with its 95 % interval, None where the model is not calibrated; left_face, right_face: their numbers
    from 1 where all faces were wanted; model_id: hash of the weights. status: "ok", or "rejected" for a reason."""

    left: str
    right: str
    status: str
    reason: str | None
    cos: float | None
    threshold: float | None
    same: bool | None
    far: float | None
    far_low: float | None
    far_high: float | None
    left_face: int | None
    right_face: int | None
    model: str
    model_id: str
    flip: str
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class ManyReport:
    """Counts: compared and rejected pairs; same: of those compared, pairs of one person."""

    compared: int
    same: int
    rejected: int


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """source: photos, crops, a store, or the file that a protocol is about; protocol: a name of PROTOCOLS, None to be
    guessed; pairs: the protocol's list, where it does not lie in source.

    For photos: models: what embeds them, none: dlib, and fuse: how several are joined (engines.ensemble); flip,
    detector, min_face, workers as for embed; faces: "center", the face with the central pixel, is LFW's own rule;
    crops_template: says that source holds crops without a manifest. missing: pairs without a score count as errors
    ("error") or are left out ("skip"); allow_missing: how many photos may lack one.

    dev_pairs: LFW's View 1, the list that the threshold is chosen on. pooling, frames: YTF, see protocols.ytf.
    distractors, noises, features: MegaFace, see protocols.megaface. weight_by_detector: IJB, see protocols.ijb.
    scores: a CSV that every pair is written to with its score. groups: a column of a list by which figures are told
    apart, see verify.subgroups.
    """

    source: Path
    protocol: str | None = None
    pairs: Path | None = None
    models: tuple[str, ...] = ()
    fuse: str = "mean"
    flip: str = "none"
    crops_template: str | None = None
    detector: str = "mtcnn"
    faces: str = "center"
    min_face: float = 20.0
    missing: str = "error"
    allow_missing: int = 0
    workers: int = 0
    dev_pairs: Path | None = None
    pooling: str = "embedding"
    frames: int = 0
    distractors: Path | None = None
    noises: Path | None = None
    features: Path | None = None
    weight_by_detector: bool = False
    scores: Path | None = None
    groups: str | None = None

    def changed(self) -> frozenset[str]:
        """The fields that are not as they are by default."""
        return changed_fields(self)


@dataclass(frozen=True, slots=True)
class ProtocolReport:
    """What a protocol says of a model. Numbers that it does not define, or that cannot be told, are None.

    pairs: of the list; scored: of them with a score; genuine, impostors: that the rates are over. accuracy: mean over
    the folds, 0..1, each at the threshold that is best on the others; accuracy_se: its standard error, sd (n - 1) over
    root n. eer: eer, threshold, far and frr there, low and high by bootstrap. tar_at_far: for each FAR a mapping as
    maths.rates.Rate, with bootstrap_low and bootstrap_high: people drawn anew, where they are known. identification:
    one against many, by protocol; details: how the protocol was run. missing: names without a score; missing_rule:
    error or skip, which all-pairs and megaface always do. model_id, data, list_hash: of the weights, of the faces
    compared, of the list; seconds: of the run.
    groups: figures by group, see verify.subgroups.
    """

    protocol: str
    pairs: int
    scored: int
    genuine: int
    impostors: int
    folds: int
    accuracy: float | None
    accuracy_se: float | None
    fold_accuracy: tuple[float, ...]
    thresholds: tuple[float, ...]
    eer: Mapping[str, Any] | None
    tar_at_far: tuple[Mapping[str, Any], ...]
    identification: Mapping[str, Any] | None
    details: Mapping[str, Any]
    missing: tuple[str, ...]
    missing_rule: str
    model: str
    model_id: str
    flip: str
    data: str
    list_hash: str | None
    seconds: float
    groups: tuple[Mapping[str, Any], ...] = ()

    def in_short(self) -> dict[str, str | int | float | None]:
        """The figures for a table, in percent: rates with their exact intervals, or the impostors that they need."""

        def percent(value: float | None, error: float | None = None) -> str:
            wide = "" if error is None else f" +- {100 * error:.2f}"
            return "" if value is None else f"{100 * value:.2f}{wide}"

        short: dict[str, str | int | float | None] = {"protocol": self.protocol, "pairs": self.pairs}
        if self.accuracy is not None:
            short["accuracy %"] = percent(self.accuracy, self.accuracy_se)
        if self.identification is not None and "rank1" in self.identification:
            short["rank 1 %"] = percent(self.identification["rank1"]["rate"])
        if self.eer is not None:
            short["EER %"] = percent(self.eer["eer"])
        for rate in self.tar_at_far:
            known = f"{percent(rate['tar'])} ({percent(rate['low'])}, {percent(rate['high'])})"
            needs = f"needs {rate['impostors_needed']} impostors"
            short[f"TAR % at {rate['far']:g}"] = needs if rate["tar"] is None else known
        return {**short, "missing": len(self.missing), "model": self.model}


def share_cores() -> None:
    """No threads of numpy's own, before it is loaded: the cores are shared out by ours."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def flag_of(field: str) -> str:
    """The option that sets a field of a config."""
    return "--" + _FLAGS.get(field, field).replace("_", "-")


_FLAGS = {"models": "model", "stores": "store", "crops_template": "template"}


def changed_fields(config: Any) -> frozenset[str]:
    """The fields of a config that are not as they are by default."""
    return frozenset(
        f.name for f in fields(config) if f.default is not MISSING and getattr(config, f.name) != f.default
    )
