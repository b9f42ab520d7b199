"""Options that several rooms share: how photos are read and faces found, which models embed them, what computes.

Each is an annotation for a field of a config (see cosface_cli.options); the config sets the default:

    class EmbedConfig(Checked):
        faces: FacesOption = "largest"
        min_face: MinFaceOption = 20.0

Imports nothing heavy, since configs are loaded for `--help`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cosface_cli.engines.detectors import DETECTORS, Faces
from cosface_cli.engines.embedders import EMBEDDERS, Flip
from cosface_cli.engines.runners import RUNNERS
from cosface_cli.engines.runtime.devices import Precision
from cosface_cli.options import option

TemplateName = Literal["wide", "arcface", "sphereface", "dlib"]
Fuse = Literal["mean", "concat"]

DETECTION = "Face detection"
MODELS = "Model"
INPUT = "Input"
MACHINE = "Machine"

# How faces are found in photos, and which of them are used.
DetectorOption = Annotated[
    str,
    option(
        "Face detector: {choices}, or the path of a detector's file, whose kind is recognised from its content.",
        known=DETECTORS,
        group=DETECTION,
    ),
]
FacesOption = Annotated[
    Faces,
    option(
        "Which faces of a photo to use: the largest, the one at the center (LFW's rule), or all.",
        group=DETECTION,
    ),
]
MinFaceOption = Annotated[
    float, option("Smallest face, in pixels of its box's longer side.", at_least=1, group=DETECTION)
]
MinScoreOption = Annotated[
    float, option("Lowest detection score, from 0 to 1.", at_least=0, at_most=1, group=DETECTION)
]
MinSharpnessOption = Annotated[
    float,
    option(
        "Lowest sharpness: the variance of the crop's Laplacian, in squared grey levels. It depends on the template.",
        at_least=0,
        group=DETECTION,
    ),
]
MaxYawOption = Annotated[
    float,
    option(
        "Largest yaw of a face, in degrees, estimated from its landmarks; 90 accepts every face.",
        at_least=0,
        at_most=90,
        group=DETECTION,
    ),
]
TryRotationsOption = Annotated[
    bool, option("Search photos without a face again, rotated by 90, 180 and 270 degrees.", group=DETECTION)
]

# What the photos are.
MaxMegapixelsOption = Annotated[
    float, option("Reject photos with more megapixels without decoding them.", at_least=0.01, group=INPUT)
]
EveryOption = Annotated[float, option("Seconds between the frames taken from a video.", at_least=0.001, group=INPUT)]
RootOption = Annotated[
    Path | None,
    option(
        "With -: the folder that the listed paths are relative to. The first folder level below it is the identity.",
        unset="the current folder",
        group=INPUT,
    ),
]
CropsTemplateOption = Annotated[
    TemplateName | None,
    option(
        "The source is a folder of crops without a manifest, aligned to this template: {choices}.",
        "--template",
        unset="from the crop folder's manifest",
        group=INPUT,
    ),
]
PruneOption = Annotated[bool, option("Remove the results of photos that the source no longer contains.", group=INPUT)]

# Which models embed the faces.
_MODEL_HELP = "{choices}, a run folder, its weights.safetensors, or an .onnx file"
ModelOption = Annotated[str, option(f"Model: {_MODEL_HELP}.", known=EMBEDDERS, group=MODELS)]
ModelOrStoredModelOption = Annotated[
    str | None,
    option(f"Model for photos: {_MODEL_HELP}.", known=EMBEDDERS, unset="the index's own model", group=MODELS),
]
OneOrMoreModelsOption = Annotated[
    str | tuple[str, ...],
    option(f"Model: {_MODEL_HELP}. Repeat it for several models.", "--model", known=EMBEDDERS, group=MODELS),
]
FusedModelsOption = Annotated[
    tuple[str, ...],
    option(
        f"Model: {_MODEL_HELP}. Repeat it to fuse several models.",
        "--model",
        known=EMBEDDERS,
        unset="the store's own model, or dlib",
        group=MODELS,
    ),
]
FuseOption = Annotated[
    Fuse,
    option(
        "How several models are fused: mean of their cosines, or concat of their embeddings.",
        group=MODELS,
    ),
]
FlipOption = Annotated[
    Flip,
    option(
        "Also embed the mirrored crop: none, sum of both embeddings, or concat of both.",
        group=MODELS,
    ),
]
PrecisionOption = Annotated[
    Precision,
    option("Number format of the network: {choices}. fp16 and bf16 need a GPU.", group=MODELS),
]

# What computes.
WorkersOption = Annotated[int, option("Worker processes; 0 starts one for each CPU core.", at_least=0, group=MACHINE)]
EngineOption = Annotated[
    str,
    option(
        "Where workers run: local (processes on this machine) or ray (the Ray cluster at $RAY_ADDRESS).",
        choices=RUNNERS,
        group=MACHINE,
    ),
]
DeviceOption = Annotated[
    str,
    option(
        "Device that runs the networks: auto (GPUs if there are any), cpu, cuda (all GPUs), cuda:0,1 (these), mps.",
        metavar="auto|cpu|cuda[:i,...]|mps",
        group=MACHINE,
    ),
]
