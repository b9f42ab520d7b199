"""Two faces to a decision: the score against a threshold, what it means, and what is to be known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import Calibration, read_calibrations
from cosface_cli.errors import CosfaceError
from cosface_cli.verify import CompareConfig, Match
from cosface_cli.verify.compare.photo_warnings import Seen, of_both, of_one


class Matcher:
    """Compares the faces of one model. threshold: the cosine from which two count as one person.

    calibrations: the model's own by flip mode; thresholds: the same of a model that has only those. Raises CosfaceError
    where neither they nor the caller give a threshold, ModelMismatch for another model's calibration.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        config: CompareConfig,
        calibrations: Mapping[str, Calibration],
        thresholds: Mapping[str, float],
    ) -> None:
        self.identity = identity
        assert identity.flip is not None
        if config.calibration is not None:
            calibrations = read_calibrations(config.calibration, identity)
            if identity.flip not in calibrations:
                problem = f"it has no table for --flip {identity.flip}, only for {', '.join(calibrations)}"
                raise CosfaceError(problem, config.calibration, "calibrate with that flip")
        self.calibration = calibrations.get(identity.flip)
        self.threshold = _threshold(config, self.calibration, thresholds, identity)

    def matches(self, left: Seen, right: Seen) -> Iterator[Match]:
        """Each face of the one with each of the other; a photo without a face gives one rejected match."""
        for seen in (left, right):
            if not seen.usable:
                yield self.rejected(left.name, right.name, seen.vectors.reason or "no_face")
                return
        ours, theirs = left.vectors.vectors, right.vectors.vectors
        assert ours is not None and theirs is not None
        cosines = np.clip(ours.astype(np.float64) @ theirs.astype(np.float64).T, -1.0, 1.0)
        for i, row in enumerate(cosines):
            for j, cos in enumerate(row):
                yield self._match(left, right, i, j, float(cos))

    def rejected(self, left: str, right: str, reason: str) -> Match:
        """A pair without a score."""
        nothing = (None, None, None, None, None, None)
        return Match(left, right, "rejected", reason, *nothing, None, None, *self._model())

    def _match(self, left: Seen, right: Seen, i: int, j: int, cos: float) -> Match:
        same = cos >= self.threshold
        both = of_both(left, right, i, j) if same else None
        far = low = high = None
        if self.calibration is not None:
            far, low, high = self.calibration.far_at(cos)
        return Match(
            left.name,
            right.name,
            "ok",
            None,
            round(cos, 6),
            self.threshold,
            same,
            far,
            low,
            high,
            i + 1 if left.choice == "all" else None,
            j + 1 if right.choice == "all" else None,
            *self._model(),
            (*of_one(left, i), *of_one(right, j), *((both,) if both else ())),
        )

    def _model(self) -> tuple[str, str, str]:
        return self.identity.name, self.identity.id, str(self.identity.flip)


def _threshold(
    config: CompareConfig, calibration: Calibration | None, thresholds: Mapping[str, float], identity: ModelIdentity
) -> float:
    if config.threshold is not None:
        if "far" in config.changed():
            raise CosfaceError("--far asks for a threshold, --threshold names one", hint="leave one of them out")
        return config.threshold
    if calibration is not None:
        found = calibration.threshold(config.far)
        if found is None:
            problem = f"{calibration.impostors} impostor pairs cannot tell where the FAR is {config.far:g}"
            raise CosfaceError(problem, hint="ask for a higher --far, or calibrate on more people")
        return found
    if identity.flip is not None and identity.flip in thresholds and "far" not in config.changed():
        return thresholds[identity.flip]
    raise CosfaceError(
        f"no threshold is known for {identity.name} with --flip {identity.flip}",
        hint="give one with --threshold, or calibrate: cosface verify calibrate",
    )
