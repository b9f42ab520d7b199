"""Several models as one: the cosine of joined vectors against the models' own, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.engines.models.ensemble import fused, joined_identity
from cosface_cli.engines.photos.photo_embedder import PhotoEmbeddings
from cosface_cli.errors import CosfaceError

BOX = ((0.0, 0.0, 50.0, 50.0), 0.9, 20.0)


def vectors(*rows: tuple[float, ...], lengths: tuple[float, ...] | None = None) -> PhotoEmbeddings:
    own = np.array(rows, np.float32)
    return PhotoEmbeddings(
        hash="h",
        size=0,
        mtime_ns=0,
        faces=(BOX,) * len(rows),
        vectors=own,
        lengths=None if lengths is None else np.array(lengths),
    )


def test_mean_is_the_mean_of_the_cosines() -> None:
    first = [vectors((1, 0)), vectors((0.6, 0.8))]  # cosine .6
    second = [vectors((0, 0, 1)), vectors((0, 1, 0))]  # cosine 0
    joined = [fused(pair) for pair in zip(first, second, strict=True)]
    a, b = (one.vectors[0].astype(float) for one in joined)
    assert np.linalg.norm(a) == pytest.approx(1) and a @ b == pytest.approx(0.3)


def test_concat_weighs_by_length() -> None:
    """Outputs (3, 0) and (0, 0, 4); (1.2, 1.6) and (0, 0, 1): their cosine is 7.6 / (5 sqrt 5)."""
    left = fused([vectors((1, 0), lengths=(3,)), vectors((0, 0, 1), lengths=(4,))], "concat")
    right = fused([vectors((0.6, 0.8), lengths=(2,)), vectors((0, 0, 1), lengths=(1,))], "concat")
    assert left.lengths[0] == pytest.approx(5) and right.lengths[0] == pytest.approx(5**0.5)
    assert left.vectors[0].astype(float) @ right.vectors[0] == pytest.approx((3 * 1.2 + 4 * 1) / (5 * 5**0.5))


def test_one_model_is_unchanged_and_one_reject_rejects_all() -> None:
    one = vectors((1, 0))
    assert fused([one]) is one
    bad = PhotoEmbeddings(hash="h", size=0, mtime_ns=0, reason="bad_embedding", words="no vector")
    assert fused([one, bad]).reason == "bad_embedding"


def test_stores_keep_no_lengths() -> None:
    with pytest.raises(CosfaceError, match="--fuse mean"):
        fused([vectors((1, 0)), vectors((0, 1))], "concat")


def test_identity_of_joined_models() -> None:
    a = ModelIdentity(name="a", id="1", flip="sum", template="dlib", size=128, precision="bf16")
    b = ModelIdentity(name="b", id="2", flip="sum", template="arcface", size=512)
    assert joined_identity([a]) == a
    joined = ModelIdentity(name="a+b", id="mean(1+2)", flip="sum", size=640)
    assert joined_identity([a, b]) == joined_identity([b, a]) == joined
    assert joined_identity([a, b], "concat").id == "concat(1+2)"
    assert joined_identity([a, replace(b, size=None)]).size is None
    with pytest.raises(CosfaceError, match="twice"):
        joined_identity([a, replace(a, name="also a")])
