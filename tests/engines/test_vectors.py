"""From a network's outputs to unit vectors: the flip of the paper by hand, with networks that can be seen through."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import MANIFEST, Crop, CropRecord, line
from cosface_cli.engines.embedders import CPU_BATCH as BATCH
from cosface_cli.engines.embedders.vectors import require_finite, unit_embeddings
from cosface_cli.engines.photos.pair_photos import find_pair_files, load_pair_crops
from cosface_cli.engines.photos.photo_embedder import PhotoEmbedder, PhotoEmbedderOpener, PhotoOrCrop
from cosface_cli.engines.sources import File
from cosface_cli.errors import CosfaceError, PhotoError
from cosface_cli.maths.geometry import TEMPLATES
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import Outcome, Rejected


class LeftAndRight:
    """Gives the brightness of the left and of the right column, and the batches it was given."""

    name = model_id = "fake"
    batch = BATCH
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


# From files to vectors, with a network that gives the mean colour and a detector that is never asked.


class MeanColour:
    name = model_id = "mean"
    batch = BATCH
    template = "dlib"
    size = 3
    thresholds: ClassVar[dict[str, float]] = {}

    def embed(self, crops: np.ndarray) -> np.ndarray:
        assert crops.shape[1:] == (150, 150, 3)
        return crops.mean(axis=(1, 2)).astype(np.float32)


def flat(path: Path, colour: tuple[int, int, int], template: str = "wide") -> Crop:
    """A crop file of one colour."""
    have = TEMPLATES[template]
    path.write_bytes(pictures.encode_png(np.full((have.height, have.width, 3), colour, np.uint8)))
    return Crop(path, path.name, have)


def test_crops_become_vectors_each_with_its_own_fault(tmp_path: Path):
    good = flat(tmp_path / "a.png", (30, 0, 40))
    black = flat(tmp_path / "b.png", (0, 0, 0))
    small = replace(flat(tmp_path / "c.png", (1, 1, 1), "arcface"), template=TEMPLATES["wide"])
    (tmp_path / "d.png").write_bytes(b"no picture")
    work = PhotoEmbedder([MeanColour()], PhotoEmbedderOpener(models=("mean",), flip="none"))
    text, none = (replace(good, path=tmp_path / name) for name in ("d.png", "none.png"))
    crops = [good, black, small, text, none, good]
    found = [result for (result,) in work([PhotoOrCrop(File(crop.path), crop) for crop in crops])]
    assert [result.reason for result in found] == [
        None,
        "bad_embedding",
        "wrong_size",
        "unsupported_format",
        "missing",
        None,
    ]
    for result in (found[0], found[5]):
        assert result.vectors is not None
        np.testing.assert_allclose(result.vectors, [[0.6, 0, 0.8]], atol=1e-6)
        assert result.hash == hashlib.sha256(good.path.read_bytes()).hexdigest()
        assert (result.size, result.mtime_ns) == (0, 0)  # a crop file is known by its content alone
    assert found[1].vectors is None and found[1].faces == () and "b.png" in found[1].words
    assert "112x112 pixels, not the 192x192 of 'wide'" in found[2].words
    assert work([]) == []


def test_a_content_that_is_done_already_is_not_embedded_again(tmp_path: Path):
    crop = flat(tmp_path / "a.png", (30, 0, 40))
    digest = hashlib.sha256(crop.path.read_bytes()).hexdigest()
    work = PhotoEmbedder([MeanColour()], PhotoEmbedderOpener(models=("mean",), flip="none"))
    (same,), (other,) = work(
        [PhotoOrCrop(File(crop.path), crop, (digest,)), PhotoOrCrop(File(crop.path), crop, ("00" * 32,))]
    )
    assert same.unchanged and same.hash == digest and not other.unchanged and other.vectors is not None


class Corner(MeanColour):
    """The colour of the first pixel, of another template."""

    template = "arcface"

    def embed(self, crops: np.ndarray) -> np.ndarray:
        assert crops.shape[1:] == (112, 112, 3)
        return crops[:, 0, 0].astype(np.float32)


def test_several_models_each_with_its_template_and_what_it_has_done(tmp_path: Path):
    good, black = flat(tmp_path / "a.png", (30, 0, 40)), flat(tmp_path / "b.png", (0, 0, 0))
    digest = hashlib.sha256(good.path.read_bytes()).hexdigest()
    broken = replace(good, path=tmp_path / "d.png")
    broken.path.write_bytes(b"no picture")
    done = hashlib.sha256(b"no picture").hexdigest()
    for readers in (1, 3):
        work = PhotoEmbedder(
            [MeanColour(), Corner()], PhotoEmbedderOpener(models=("mean", "corner"), flip="none", readers=readers)
        )
        known = [(None, None), (None, digest), (digest, digest), ("00" * 32, None)]
        inputs = [PhotoOrCrop(File(good.path), good, pair) for pair in known]
        inputs += [
            PhotoOrCrop(File(black.path), black, (None, None)),
            PhotoOrCrop(File(broken.path), broken, (done, None)),
        ]
        found = work(inputs)
        assert [tuple(one.unchanged for one in pair) for pair in found] == [
            (False, False),
            (False, True),
            (True, True),
            (False, False),
            (False, False),
            (True, False),
        ]
        for result in (*found[0], found[1][0], *found[3]):
            np.testing.assert_allclose(result.vectors, [[0.6, 0, 0.8]], atol=1e-6)
        assert [one.reason for one in found[4]] == ["bad_embedding"] * 2
        assert [one.reason for one in found[5]] == [None, "unsupported_format"]


def test_pairs_find_their_photos_once_and_name_what_is_missing(tmp_path: Path):
    root = tmp_path / "lfw"
    for name in ("A/A_0001.png", "A/A_0002.jpg", "B/B_0001.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        flat(root / name, (9, 9, 9))
    (tmp_path / "pairs.txt").write_text("2\t1\nA\t1\t2\nA\t1\tB\t1\nB\t1\t3\nB\t1\tA\t2\n")
    found = find_pair_files(tmp_path / "pairs.txt", root)
    assert found.names == ("A/A_0001", "A/A_0002", "B/B_0001") and found.absent == ("B/B_0003",)
    assert [Path(str(item.place)).name for item in found.inputs] == ["A_0001.png", "A_0002.jpg", "B_0001.png"]
    assert found.left.tolist() == [0, 0, 2, 2] and found.right.tolist() == [1, 2, -1, 1]
    assert found.same.tolist() == [True, False, True, False] and found.fold.tolist() == [1, 1, 2, 2]
    with pytest.raises(CosfaceError, match=r"contains none of the photos of .*pairs\.txt, such as A/A_0001\.jpg"):
        find_pair_files(tmp_path / "pairs.txt", root / "A")


def aligned(root: Path, *broken: str) -> Path:
    """A crop folder of four, of which some are no picture."""
    points = tuple(map(tuple, TEMPLATES["wide"].landmarks))
    lines = []
    for name in ("A/A_0001.png", "A/A_0002.png", "B/B_0001.png", "B/B_0002.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        flat(root / name, (9, 9, 9))
        if name in broken:
            (root / name).write_bytes(b"no picture")
        box = (0.0, 0.0, 9.0, 9.0)
        lines.append(
            line(
                CropRecord(
                    crop=name,
                    source=name,
                    size=1,
                    mtime_ns=2,
                    hash="00" * 32,
                    face=1,
                    faces=1,
                    found=1,
                    box=box,
                    landmarks=points,
                    score=0.9,
                    template="wide",
                    detector="d",
                    settings="s",
                )
            )
        )
    (root / MANIFEST).write_text("".join(lines))
    (root / "pairs.txt").write_text("1\nA\t1\t2\nA\t1\tB\t2\n")
    return root


def test_a_photo_without_a_face_is_told_and_the_others_are_kept(tmp_path: Path):
    """It comes back from a worker process as a value."""
    root = aligned(tmp_path / "aligned", "A/A_0002.png")
    told: list[Outcome] = []
    found = load_pair_crops(root / "pairs.txt", root, TEMPLATES["arcface"], told.append)
    assert found.crops.shape == (2, 112, 112, 3) and found.missing == ("A/A_0002",)
    assert found.left.tolist() == [0, 0] and found.right.tolist() == [-1, 1]
    rejected = [outcome for outcome in told if isinstance(outcome, Rejected)]
    assert [outcome.reason for outcome in rejected] == ["unsupported_format"] and "A_0002.png" in rejected[0].words


def test_no_face_at_all_is_one_line(tmp_path: Path):
    root = aligned(tmp_path / "aligned", "A/A_0001.png", "A/A_0002.png", "B/B_0002.png")
    with pytest.raises(CosfaceError, match="no face was found in any photo of the list"):
        load_pair_crops(root / "pairs.txt", root, TEMPLATES["arcface"], lambda outcome: None)
