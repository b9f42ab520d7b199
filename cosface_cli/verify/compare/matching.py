"""Two faces to a decision: the cosine, the threshold that it is compared with, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import Calibration, read_calibrations
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.embedders.vectors import identity_of
from cosface_cli.engines.models.calibrations import calibrations_of
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.verify.compare import CompareConfig, Match
from cosface_cli.verify.compare.photo_warnings import warning_of_pair, warnings_of_face
from cosface_cli.verify.faces import DEFAULT_MODELS
from cosface_cli.verify.faces.embedding import Embedding
from cosface_cli.verify.faces.source import EmbeddedPhoto

if TYPE_CHECKING:  # h5py is loaded only for a store
    from cosface_cli.verify.compare.fused_stores import FusedStores


class Matcher:
    """Compares the faces of one model."""

    def __init__(
        self,
        model: ModelIdentity,
        config: CompareConfig,
        calibrations: Mapping[str, Calibration],
        thresholds: Mapping[str, float],
    ) -> None:
        """calibrations: of the model, by flip; thresholds: by flip, for a model without calibrations.

        Raises CosfaceError if neither they nor the config have a threshold, ModelMismatch for a calibration file of
        another model.
        """
        self.model = model
        self._flip = model.flip or "none"
        if config.calibration is not None:
            calibrations = read_calibrations(config.calibration, model)
            if self._flip not in calibrations:
                problem = f"no table for --flip {self._flip}, only for {', '.join(calibrations)}"
                raise CosfaceError(problem, config.calibration, "calibrate with that flip")
        self.calibration = calibrations.get(self._flip)
        self.threshold = self._threshold(config, thresholds)

    def matches(self, left: EmbeddedPhoto, right: EmbeddedPhoto) -> Iterator[Match]:
        """Each face of one photo with each face of the other; one rejected match if a photo has no face."""
        for photo in (left, right):
            if not photo.has_face:
                yield self._rejected(left.name, right.name, photo.vectors.reason or "no_face")
                return
        left_vectors, right_vectors = left.vectors.vectors, right.vectors.vectors
        assert left_vectors is not None and right_vectors is not None
        cosines = np.clip(left_vectors.astype(np.float64) @ right_vectors.astype(np.float64).T, -1.0, 1.0)
        for i, row in enumerate(cosines):
            for j, cos in enumerate(row):
                yield self._match(left, right, i, j, float(cos))

    def _rejected(self, left: str, right: str, reason: str) -> Match:
        return Match(
            left=left,
            right=right,
            status="rejected",
            reason=reason,
            cos=None,
            threshold=None,
            same=None,
            far=None,
            far_low=None,
            far_high=None,
            left_face=None,
            right_face=None,
            model=self.model.name,
            model_id=self.model.id,
            flip=self._flip,
        )

    def _match(self, left: EmbeddedPhoto, right: EmbeddedPhoto, i: int, j: int, cos: float) -> Match:
        same = cos >= self.threshold
        warnings = [*warnings_of_face(left, i), *warnings_of_face(right, j)]
        if same and (warning := warning_of_pair(left, right, i, j)) is not None:
            warnings.append(warning)
        far, far_low, far_high = (None, None, None) if self.calibration is None else self.calibration.far_at(cos)
        return Match(
            left=left.name,
            right=right.name,
            status="ok",
            reason=None,
            cos=round(cos, 6),
            threshold=self.threshold,
            same=same,
            far=far,
            far_low=far_low,
            far_high=far_high,
            left_face=i + 1 if left.choice == "all" else None,
            right_face=j + 1 if right.choice == "all" else None,
            model=self.model.name,
            model_id=self.model.id,
            flip=self._flip,
            warnings=tuple(warnings),
        )

    def _threshold(self, config: CompareConfig, thresholds: Mapping[str, float]) -> float:
        has_far = "far" in config.changed()
        if config.threshold is not None:
            if has_far:
                raise CosfaceError("--far and --threshold exclude each other", hint="leave one of them out")
            return config.threshold
        if self.calibration is not None:
            threshold = self.calibration.threshold(config.far)
            if threshold is None:
                problem = f"{self.calibration.impostors} impostor pairs do not resolve --far {config.far:g}"
                raise CosfaceError(problem, hint="give a higher --far, or calibrate on more people")
            return threshold
        if self._flip in thresholds and not has_far:
            return thresholds[self._flip]
        raise CosfaceError(
            f"no threshold is known for {self.model.name} with --flip {self._flip}",
            hint="give one with --threshold, or calibrate: cosface verify calibrate",
        )


def matcher_of_photos(embedding: Embedding, config: CompareConfig) -> Matcher:
    """A matcher for photos, with the calibrations or thresholds of the model that embeds them."""
    if len(embedding.embedders) > 1:
        return Matcher(embedding.model, config, {}, {})
    (spec,), (embedder,) = config.models or DEFAULT_MODELS, embedding.embedders
    return Matcher(embedding.model, config, calibrations_of(spec, embedder), embedder.thresholds)


def matcher_of_stores(stores: FusedStores, config: CompareConfig) -> Matcher:
    """A matcher for rows of stores, with the calibrations or thresholds of the config's model, or of the packaged model
    that the stores name.

    Raises ModelMismatch if the config names other models than the stores'.
    """
    models = [store.model for store in stores.stores]
    if config.flip not in ("none", models[0].flip):
        problem = f"made with --flip {models[0].flip}, expected --flip {config.flip}"
        raise ModelMismatch(problem, stores.stores[0].path, "leave --flip out")
    if config.models and len(config.models) != len(models):
        raise CosfaceError(f"{len(config.models)} models for {len(models)} stores", hint="name one for each, or none")
    for spec, store in zip(config.models, stores.stores, strict=False):
        wanted = identity_of(open_embedder(spec), store.model.flip or "none")
        store.model.require_same(wanted, store.path, "name the store's model, or leave --model out")
    spec = config.models[0] if config.models else models[0].name
    if len(models) > 1 or (not config.models and spec not in EMBEDDERS):
        return Matcher(stores.model, config, {}, {})
    embedder = open_embedder(spec)
    return Matcher(stores.model, config, calibrations_of(spec, embedder), embedder.thresholds)
