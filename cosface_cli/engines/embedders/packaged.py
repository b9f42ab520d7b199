"""The calibrations that come with the embedded models: of people who are in none of the usual test sets.

They are of 288 CelebA people (of identities 7201 to 7500), found by MTCNN: `cosface verify calibrate` over stores of
their photos. Eleven more were left out, see the tables' data: another network's mean cosines say that eight are several
people under one name and one is another's double, and two are in LFW or YouTube Faces.
"""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import ENDING, Calibration, read_calibrations

FAR = 1e-3  # whose threshold decides where nobody asks for another


def packaged(name: str, model_id: str) -> dict[str, Calibration]:
    """By flip mode, of the embedded model of that name. Raises ModelMismatch where they are another's."""
    return read_calibrations(Path(__file__).parent / f"{name}{ENDING}", ModelIdentity(name=name, id=model_id))


def thresholds(name: str, model_id: str) -> dict[str, float]:
    """By flip mode, the cosine from which two faces count as one person."""
    known = {flip: table.threshold(FAR) for flip, table in packaged(name, model_id).items()}
    return {flip: threshold for flip, threshold in known.items() if threshold is not None}
