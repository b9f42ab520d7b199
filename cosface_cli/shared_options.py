"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


class Output:
    table: Any = "table"
    json: Any = "json"
    tsv: Any = "tsv"


Format = Annotated[
    Any,
    typer.Option(
        "--format",
        parser=str,
        metavar="<table|json|tsv>",
        help="Rows on stdout: a table on a terminal, one JSON object a line when piped.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr; errors stay.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one for each core.")]
Engine = Annotated[
    str, typer.Option("--engine", help="local: processes of this machine; ray: nodes of the cluster at $RAY_ADDRESS.")
]
DetectorName = Annotated[str, typer.Option("--detector", help="mtcnn, or the path of YuNet, SCRFD or RetinaFace.")]
Faces = Annotated[str, typer.Option("--faces", help="Which faces of a photo: largest, all or center.")]
MinFace = Annotated[float, typer.Option("--min-face", min=1, help="Smallest face, pixels of its box's longer side.")]
MinScore = Annotated[float, typer.Option("--min-score", min=0, max=1, help="Lowest score of the detector.")]
MinSharpness = Annotated[
    float,
    typer.Option("--min-sharpness", min=0, help="Least variance of the crop's Laplacian; other for other templates."),
]
MaxYaw = Annotated[
    float, typer.Option("--max-yaw", min=0, max=90, help="Most degrees turned aside, as landmarks tell.")
]
TryRotations = Annotated[
    bool, typer.Option("--try-rotations", help="Photos without a face: try them turned by quarters.")
]
MaxMegapixels = Annotated[
    float, typer.Option("--max-megapixels", min=0.01, help="Larger photos are rejected undecoded.")
]
Prune = Annotated[bool, typer.Option("--prune", help="Drop what came from photos that the source holds no more.")]
Every = Annotated[float, typer.Option("--every", min=0.001, help="Seconds between the frames of a video.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="With -: what the list's names are relative to; below it lie the people.")
]
Model = Annotated[str, typer.Option("--model", help="dlib, a run folder, its weights.safetensors, or an .onnx file.")]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="<str>",
        help="dlib, dlib-int8, a run folder, its weights.safetensors, or an .onnx file; may be given several times.",
    ),
]
FlipMode = Annotated[str, typer.Option("--flip", help="Also embed the mirrored crop: none, sum or concat.")]
