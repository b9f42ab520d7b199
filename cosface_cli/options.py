"""Options that several commands share, and where their values come from: cosface.toml < environment < flags."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest

CONFIG = "cosface.toml"
ENVIRONMENT = "COSFACE"  # COSFACE_ALIGN_DETECTOR=... stands for cosface align --detector ...


class Output(StrEnum):
    """How rows are written to standard output."""

    table = "table"
    json = "json"
    tsv = "tsv"


Format = Annotated[
    Output | None,
    typer.Option("--format", help="Rows on stdout: a table on a terminal, one JSON object a line when piped."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr; errors stay.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one for each core.")]
DetectorName = Annotated[str, typer.Option("--detector", help="mtcnn, or the path of a YuNet or SCRFD .onnx.")]
Faces = Annotated[str, typer.Option("--faces", help="Which faces of a photo: largest, all or center.")]
MinFace = Annotated[float, typer.Option("--min-face", min=1, help="Smallest face, pixels of its box's longer side.")]
MinScore = Annotated[float, typer.Option("--min-score", min=0, max=1, help="Lowest score of the detector.")]
MaxMegapixels = Annotated[float, typer.Option("--max-megapixels", help="Larger photos are rejected undecoded.")]
Model = Annotated[str, typer.Option("--model", help="dlib, a run folder, its weights.safetensors, or an .onnx file.")]
FlipMode = Annotated[str, typer.Option("--flip", help="Also embed the mirrored crop: none, sum or concat.")]


def from_file(path: Path, commands: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults in a cosface.toml: [align], [index.search] and so on, keys as the long flags.

    commands: by name, the flags it takes, or the same again for a group. Raises CosfaceError for a section or a key
    that is not known, with its near miss.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "unset COSFACE_CONFIG or make the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosfaceError(f"not valid TOML ({error})", path) from None
    return _checked(found, commands, path, "")


def _checked(found: Mapping[str, Any], known: Mapping[str, Any], path: Path, section: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("_", "-")
        if name not in known:
            where = f"[{section}] " if section else ""
            raise CosfaceError(f"unknown key {where}{key}", path, suggest(name, sorted(known)))
        inner = known[name]
        if isinstance(inner, Mapping):
            if not isinstance(value, Mapping):
                raise CosfaceError(f"{key} is a section, not a value", path, f"write [{key}] above its keys")
            out[name] = _checked(value, inner, path, f"{section}.{name}" if section else name)
        else:
            out[inner] = value
    return out


def config_path() -> Path | None:
    """The file of $COSFACE_CONFIG, else cosface.toml of the working folder if it is there."""
    named = os.environ.get("COSFACE_CONFIG")
    if named:
        return Path(named)
    return Path(CONFIG) if Path(CONFIG).is_file() else None
