"""Backbones: crops in, embeddings out. A new family is a file here and its rows in BACKBONES."""

from __future__ import annotations

from cosface_cli.registry import Row, Table

BACKBONES = Table(
    "backbone",
    Row(
        "mobilefacenet",
        "cosface_cli.backbones.mobilefacenet:mobilefacenet",
        "1 M parameters, crops `arcface` (Chen 2018)",
    ),
    Row(
        "sphere20",
        "cosface_cli.backbones.sphereface:sphere20",
        "20-layer residual net, crops `sphereface` (Liu 2017)",
    ),
)
