"""The calibrations of the built-in models.

`cosface verify calibrate` made them from the photos of 288 CelebA people (identities 7201 to 7500), detected by MTCNN.
None of these people is in the usual test sets. Eleven other identities of that range were left out; the tables list
them. By the mean cosines of another network, eight of them are several people under one name, and one is the same
person as another identity. Two are in LFW or YouTube Faces.
"""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import ENDING, Calibration, read_calibrations

FAR = 1e-3  # the default threshold is the one at this false accept rate


def packaged(name: str, model_id: str) -> dict[str, Calibration]:
    """By flip mode; empty for a model without calibration. Raises ModelMismatch if they belong to another model."""
    path = Path(__file__).parent / f"{name}{ENDING}"
    if not path.is_file():
        return {}
    return read_calibrations(path, ModelIdentity(name=name, id=model_id))


def thresholds(name: str, model_id: str) -> dict[str, float]:
    """By flip mode, the cosine from which two faces count as one person."""
    known = {flip: table.threshold(FAR) for flip, table in packaged(name, model_id).items()}
    return {flip: threshold for flip, threshold in known.items() if threshold is not None}
