"""Embeddings of two models are refused in one wording, which names both models and what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.store.store_file import StoreHeader
from cosface_cli.errors import ModelMismatch

MODEL = ModelIdentity(name="dlib", id="dlib-0123", flip="none", template="dlib", size=128, precision="fp32")


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"name": "net", "id": "net-9"}, "made with net (net-9), expected dlib (dlib-0123)"),
        ({"flip": "sum"}, "made with dlib (dlib-0123, flip sum), expected dlib (dlib-0123, flip none)"),
        (
            {"template": "arcface"},
            "made with dlib (dlib-0123, template arcface), expected dlib (dlib-0123, template dlib)",
        ),
        (
            {"precision": "bf16"},
            "made with dlib (dlib-0123, precision bf16), expected dlib (dlib-0123, precision fp32)",
        ),
        (
            {"flip": "concat", "size": 256},
            "made with dlib (dlib-0123, flip concat, size 256), expected dlib (dlib-0123, flip none, size 128)",
        ),
    ),
)
def test_both_models_and_what_differs_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelMismatch) as caught:
        replace(MODEL, **change).require_same(MODEL, Path("s.h5"), "embed again")
    assert str(caught.value) == f"s.h5: {message}; embed again"


def test_a_file_can_be_renamed_and_what_is_unknown_is_not_compared() -> None:
    MODEL.require_same(replace(MODEL, name="renamed"), "s.h5")
    unknown = ModelIdentity(name="dlib", id="dlib-0123")
    MODEL.require_same(unknown, "s.h5")
    unknown.require_same(MODEL, "s.h5")


def test_stores_of_two_precisions_fit_one_index() -> None:
    index = IndexHeader(
        engine="faiss",
        model="dlib",
        model_id="dlib-0123",
        template="dlib",
        flip="none",
        size=128,
        rows=0,
        next_id=0,
        segments=(),
        files={},
        stores=(),
    )
    for precision in ("fp32", "fp16", "bf16"):
        StoreHeader(
            model="dlib", model_id="dlib-0123", template="dlib", flip="none", size=128, precision=precision
        ).identity.require_same(index.identity, "i")
