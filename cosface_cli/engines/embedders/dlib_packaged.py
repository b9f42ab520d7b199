"""The models dlib and dlib-int8: how they are opened on a CPU, and dlib on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.engines.embedders import PackagedEmbedder
from cosface_cli.engines.embedders.dlib_embedder import MODEL_ID, open_dlib
from cosface_cli.engines.embedders.dlib_embedder_int8 import open_dlib_int8
from cosface_cli.engines.embedders.packaged import thresholds

if TYPE_CHECKING:
    from cosface_cli.engines.embedders.torch_network import TorchEmbedder


def _open_dlib_on(device: str, precision: str) -> TorchEmbedder:
    from cosface_cli.backbones.build_backbone import declaration, load
    from cosface_cli.engines.embedders.dlib_tensors import BACKBONE, EMBEDDING_SIZE, dlib_tensors
    from cosface_cli.engines.embedders.torch_network import TorchEmbedder

    backbone = declaration(BACKBONE)
    return TorchEmbedder(
        load(BACKBONE, EMBEDDING_SIZE, dlib_tensors()),
        device,
        precision,
        name="dlib",
        model_id=MODEL_ID,
        template=backbone.template,
        size=EMBEDDING_SIZE,
        mean=backbone.mean,
        std=backbone.std,
        thresholds=thresholds("dlib", MODEL_ID),
    )


DLIB = PackagedEmbedder(open=open_dlib, open_on=_open_dlib_on)
DLIB_INT8 = PackagedEmbedder(open=open_dlib_int8)
