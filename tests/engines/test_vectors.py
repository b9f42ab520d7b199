"""From a network's outputs to unit vectors: the flip of the paper by hand, with networks that can be seen through."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosface_cli.engines.embedders.vectors import BATCH, require_finite, unit_embeddings, unit_length
from cosface_cli.errors import PhotoError


class LeftAndRight:
    """Gives the brightness of the left and of the right column, and the batches it was given."""

    name = model_id = "fake"
    template = "arcface"
    size = 2
    thresholds: ClassVar[dict[str, float]] = {}

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, crops: np.ndarray) -> np.ndarray:
        assert crops.flags.c_contiguous and crops.dtype == np.uint8
        self.batches.append(len(crops))
        return np.stack([crops[:, 0, 0, 0], crops[:, 0, -1, 0]], axis=1).astype(np.float32)


def crop(left: int, right: int) -> np.ndarray:
    image = np.zeros((4, 5, 3), np.uint8)
    image[:, 0], image[:, -1] = left, right
    return image


def test_the_three_flips_by_hand():
    crops = crop(3, 4)[None]
    np.testing.assert_allclose(unit_embeddings(LeftAndRight(), crops), [[0.6, 0.8]])
    # (3, 4) + (4, 3) = (7, 7)
    np.testing.assert_allclose(unit_embeddings(LeftAndRight(), crops, "sum"), [[np.sqrt(0.5), np.sqrt(0.5)]])
    # (3, 4, 4, 3), of length sqrt(50)
    np.testing.assert_allclose(unit_embeddings(LeftAndRight(), crops, "concat"), [np.array([3, 4, 4, 3]) / np.sqrt(50)])


def test_outputs_are_added_before_they_are_normalised():
    """A mirrored crop of larger output weighs more: (1, 200) + (200, 1), not two unit vectors."""
    found = unit_embeddings(LeftAndRight(), np.stack([crop(1, 200), crop(10, 20)]), "sum")
    np.testing.assert_allclose(found, np.sqrt([[0.5, 0.5], [0.5, 0.5]]))
    concat = unit_embeddings(LeftAndRight(), crop(10, 20)[None], "concat")
    np.testing.assert_allclose(np.linalg.norm(concat), 1)  # as a whole, not each half
    np.testing.assert_allclose(concat[0, :2] @ concat[0, :2], 0.5)


@pytest.mark.parametrize("count", (0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH))
@pytest.mark.parametrize("flip", ("none", "sum", "concat"))
def test_batches_are_bounded_and_keep_their_order(count: int, flip):
    embedder = LeftAndRight()
    crops = np.stack([crop(number + 1, 255 - number) for number in range(count)] or [crop(0, 0)])[:count]
    found = unit_embeddings(embedder, crops, flip)
    assert found.shape == (count, 4 if flip == "concat" else 2) and found.dtype == np.float32
    assert max(embedder.batches, default=0) <= BATCH
    assert sum(embedder.batches) == count * (1 if flip == "none" else 2)
    for number in range(count):
        np.testing.assert_array_equal(found[number], unit_embeddings(LeftAndRight(), crops[number][None], flip)[0])


@settings(deadline=None)
@given(arrays(np.float32, (4, 6), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_unit_length(vectors: np.ndarray):
    found = unit_length(vectors)
    assert found.dtype == np.float32
    for own, vector in zip(found, vectors.astype(np.float64), strict=True):
        if vector.any():
            assert np.linalg.norm(own.astype(np.float64)) == pytest.approx(1, abs=1e-6)
            assert own.astype(np.float64) @ vector == pytest.approx(np.linalg.norm(vector), rel=1e-6)
        else:
            assert not own.any()


def test_lengths_beyond_single_precision():
    found = unit_length(np.array([[3e38, 3e38], [1e-44, 0], [3e-30, 4e-30]], np.float32))
    np.testing.assert_allclose(found, [[np.sqrt(0.5), np.sqrt(0.5)], [1, 0], [0.6, 0.8]], rtol=1e-6)


def test_what_has_no_direction_stays_as_it_is_and_is_refused():
    bad = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [-np.inf, 0]], np.float32)
    found = unit_length(bad)
    np.testing.assert_array_equal(found[0], [0, 0])
    for vector in found:
        with pytest.raises(PhotoError, match="no usable vector") as caught:
            require_finite(vector, "photos/a.jpg")
        assert caught.value.reason == "bad_embedding" and caught.value.path == "photos/a.jpg"
    require_finite(np.array([0, 1e-30], np.float32), "a.jpg")
