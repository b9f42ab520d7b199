"""The calibrations that come with the packaged models, made of people who are not in the usual test sets.

They were made by `cosface verify calibrate` from the photos of 288 CelebA people (identities 7201 to 7500), detected
by MTCNN. Eleven more identities were left out, see the tables' data: by the mean cosines of another network, eight are
several people under one name and one is the same person as another; two are in LFW or YouTube Faces.
"""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import ENDING, Calibration, read_calibrations

FAR = 1e-3  # the default threshold is the one at this false accept rate


def packaged(name: str, model_id: str) -> dict[str, Calibration]:
    """By flip mode; none for a model that has not been calibrated. Raises ModelMismatch for those of another model."""
    path = Path(__file__).parent / f"{name}{ENDING}"
    if not path.is_file():
        return {}
    return read_calibrations(path, ModelIdentity(name=name, id=model_id))


def thresholds(name: str, model_id: str) -> dict[str, float]:
    """By flip mode, the cosine from which two faces count as one person."""
    known = {flip: table.threshold(FAR) for flip, table in packaged(name, model_id).items()}
    return {flip: threshold for flip, threshold in known.items() if threshold is not None}
