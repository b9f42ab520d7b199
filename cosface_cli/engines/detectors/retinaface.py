"""RetinaFace (Deng 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild") by insightface."""

from __future__ import annotations

from cosface_cli.engines.detectors import DetectorKind
from cosface_cli.engines.detectors.scrfd import has_insightface_outputs, open_insightface

RETINAFACE = DetectorKind(
    recognises=lambda session: has_insightface_outputs(session, strides=5),
    open_file=lambda path: open_insightface(path, name="retinaface", score=0.6),
)
