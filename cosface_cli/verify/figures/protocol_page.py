"""The page of an evaluation: curves with bands, scores, rates, the hardest errors, and the command that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.errors import PhotoError
from cosface_cli.verify.faces.source import FacePicture
from cosface_cli.verify.figures import ProtocolReport
from cosface_cli.verify.figures.curve_plots import draw_det, draw_roc, draw_scores, roc_band
from cosface_cli.verify.figures.protocol_figures import curve_of
from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores

HARDEST = 12  # pairs shown of each kind
SIDE = 112  # pixels of a thumbnail


def write_report(path: Path, scores: ProtocolScores, report: ProtocolReport, command: str = "") -> None:
    """Write one self-contained HTML file, completely or not at all. command: the command that made it."""
    pairs = scores.pairs
    curve = scores.curve if pairs is None else curve_of(pairs, report.missing_rule)
    band = None if curve is None else roc_band(curve)
    page_writer.write_page(
        path,
        "verify/figures/protocol_page.html.j2",
        {
            "title": f"{report.model} by {report.protocol}",
            "numbers": _numbers(report),
            "made": _provenance(report),
            "command": command,
            "figures": []
            if curve is None or band is None
            else [draw_roc(band, report.tar_at_far), draw_det(band), draw_scores(curve, report.thresholds)],
            "rates": report.tar_at_far,
            "folds": list(zip(report.fold_accuracy, report.thresholds, strict=True)) if report.fold_accuracy else [],
            "groups": report.groups,
            "identification": _flat(report.identification or {}),
            "details": _flat(report.details),
            "missing": report.missing[:50],
            "missing_count": len(report.missing),
            "errors": [] if pairs is None else _hardest(pairs, report.thresholds),
            "percent": _percent,
        },
    )


def _numbers(report: ProtocolReport) -> list[tuple[str, str]]:
    numbers: list[tuple[str, str | None]] = [
        ("accuracy", _percent(report.accuracy)),
        ("standard error", _percent(report.accuracy_se)),
        ("equal error", None if report.eer is None else _percent(report.eer["eer"])),
    ]
    resolved = [rate for rate in report.tar_at_far if rate["tar"] is not None]
    numbers += [(f"TAR at FAR {rate['far']:g}", _percent(rate["tar"])) for rate in resolved[-2:]]
    numbers += [("genuine pairs", f"{report.genuine:,}"), ("impostor pairs", f"{report.impostors:,}")]
    return [(name, value) for name, value in numbers if value is not None]


def _provenance(report: ProtocolReport) -> list[tuple[str, str]]:
    rows: list[tuple[str, str | None]] = [
        ("model", report.model),
        ("weights", report.model_id),
        ("flip", report.flip),
        ("faces", report.data[:16]),
        ("list", report.list_hash and report.list_hash[:16]),
        ("pairs", f"{report.scored:,} of {report.pairs:,} scored"),
        ("photos without a score", f"{len(report.missing):,} ({report.missing_rule})" if report.missing else None),
    ]
    return [(name, value) for name, value in rows if value]


def _hardest(pairs: PairScores, thresholds: Sequence[float]) -> list[Mapping[str, object]]:
    """The impostor pairs with the highest scores and the genuine pairs with the lowest, each with thumbnails."""
    threshold = float(np.median(thresholds)) if len(thresholds) else None
    thumbnails: dict[int, str | None] = {}
    kinds: list[Mapping[str, object]] = []
    for name, same, sign in (
        ("Two people who look like one", False, -1.0),
        ("One person who looks like two", True, 1.0),
    ):
        rows = np.flatnonzero(pairs.known & (pairs.same == same))
        rows = rows[np.argsort(sign * pairs.scores[rows], kind="stable")][:HARDEST]
        hardest = [
            {
                "score": float(pairs.scores[row]),
                "wrong": threshold is not None and bool((pairs.scores[row] >= threshold) != same),
                "sides": [
                    {"name": pairs.names[side], "picture": _thumbnail(pairs, side, thumbnails)}
                    for side in (int(pairs.left[row]), int(pairs.right[row]))
                ],
            }
            for row in rows
        ]
        kinds.append({"name": name, "pairs": hardest})
    return kinds


def _thumbnail(pairs: PairScores, name: int, thumbnails: dict[int, str | None]) -> str | None:
    """The face in the middle one of the files of a name; None if it can no longer be read."""
    if name not in thumbnails:
        thumbnails[name] = None
        files = pairs.pictures[name] if pairs.pictures else ()
        with suppress(PhotoError):
            if files:
                thumbnails[name] = _picture(files[len(files) // 2])
    return thumbnails[name]


def _picture(file: FacePicture) -> str:
    image = pictures.decode(file.place.read(), str(file.place), SIDE if file.box is None else None).image
    face = image if file.box is None else pictures.cut_out(image, file.box)
    return page_writer.picture(pictures.encode_thumbnail(face, SIDE))


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of nested mappings."""
    rows = []
    for name, value in values.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{words}, ")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            for part in value:
                rows += _flat(part, f"{words}, ")
        else:
            text = f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
            rows.append((words, text[:200]))
    return rows


def _percent(value: float | None) -> str | None:
    return None if value is None or np.isnan(value) else f"{100 * value:.2f} %"
