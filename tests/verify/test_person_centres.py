"""People's mean faces: sums, nearest pairs, and the threshold, against loops over every face and every other person."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.verify.leakage.person_centres import BLOCK, CentreSums, pairs_over, stranger_threshold
from tests.verify.conftest import at_angle


def gathered(vectors: np.ndarray, names: list[str], step: int) -> tuple[CentreSums, np.ndarray]:
    gathering, codes = CentreSums(vectors.shape[1]), []
    for low in range(0, len(names), step):
        codes.append(gathering.add(vectors[low : low + step], names[low : low + step]))
    return gathering, np.concatenate(codes)


def test_faces_in_any_order_and_blocks() -> None:
    vectors = np.stack([at_angle(d) for d in (0, 90, 20, 100, 45)])
    names = ["A", "B", "A", "B", "C"]
    for step in (1, 2, 5):
        gathering, codes = gathered(vectors, names, step)
        found = gathering.centres()
        assert found.names == ("A", "B", "C") and codes.tolist() == [0, 1, 0, 1, 2]
        assert found.counts.tolist() == [2, 2, 1]
        assert found.unit == pytest.approx(np.stack([at_angle(d) for d in (10, 95, 45)]), abs=1e-6)


def test_people_near_each_other() -> None:
    one = gathered(np.stack([at_angle(d) for d in (0, 40, 80)]), ["a", "b", "c"], 3)[0].centres()
    other = gathered(np.stack([at_angle(d) for d in (41, 3)]), ["x", "y"], 2)[0].centres()
    found = pairs_over(one, other, np.cos(np.radians(5)))
    assert [(i, j) for _, i, j in found] == [(1, 0), (0, 1)]
    assert [cos for cos, _, _ in found] == pytest.approx(np.cos(np.radians([1, 3])), abs=1e-6)


@pytest.mark.parametrize("far", [0.05, 0.005, 1e-4])
def test_the_threshold_by_loops(far: float) -> None:
    """More faces than a block; nobody is so near to another that a pair is left out."""
    random = np.random.default_rng(1)
    people, photos = 12, BLOCK // 10
    centres = random.normal(size=(people, 32))
    raw = np.repeat(centres, photos, axis=0) + 0.8 * random.normal(size=(people * photos, 32))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    names = [str(n // photos) for n in range(people * photos)]
    gathering, codes = gathered(vectors, names, 500)
    found = stranger_threshold(vectors, codes, gathering.centres(), far)
    unit = gathering.centres().unit
    assert np.triu(unit @ unit.T, 1).max() < 0.7
    others = np.array([v.astype(float) @ unit[p] for v, own in zip(vectors, codes, strict=True)
                       for p in range(people) if p != own])  # fmt: skip
    assert found is not None
    assert (others >= found).sum() <= far * others.size < (others >= np.nextafter(found, 0) - 1e-12).sum()


def test_a_person_under_two_names_is_left_out() -> None:
    """A and B are one person, 1 degree apart; C is 30 degrees away: its faces and theirs decide."""
    angles = {"A": (0, 4), "B": (1, 5), "C": (32, 34)}
    vectors = np.stack([at_angle(d) for pair in angles.values() for d in pair])
    gathering, codes = gathered(vectors, [name for name in angles for _ in range(2)], 6)
    found = stranger_threshold(vectors, codes, gathering.centres(), 0.01)
    assert found == pytest.approx(np.cos(np.radians(28)), abs=1e-6)  # B's face at 5 to C's centre at 33


def test_a_share_that_is_a_whole_number_of_faces_is_not_lost_to_rounding() -> None:
    """.29 of 100 comparisons are 29, though the product of the floats is below 29. Ten faces are compared with ten
    other people each; the threshold lies just above the 30th highest cosine."""
    assert 0.29 * 100 < 29
    random = np.random.default_rng(4)
    centres = random.normal(size=(11, 40))
    faces = np.concatenate([centres, centres[:10] + 0.01 * random.normal(size=(10, 40))])
    faces = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
    sums, codes = gathered(faces, [str(n) for n in (*range(11), *range(10))], 21)
    people = sums.centres()
    threshold = stranger_threshold(faces[11:], codes[11:], people, 0.29)  # ten faces, ten other people
    others = np.array([face.astype(float) @ people.unit[p] for face, own in zip(faces[11:], codes[11:], strict=True)
                       for p in range(11) if p != own])  # fmt: skip
    falling = np.sort(others)[::-1]
    assert others.size == 100 and falling[28] - falling[29] > 1e-6
    assert threshold == pytest.approx(falling[29], abs=1e-12)


def test_one_person_has_no_strangers() -> None:
    vectors = np.stack([at_angle(0), at_angle(4)])
    gathering, codes = gathered(vectors, ["A", "A"], 2)
    assert stranger_threshold(vectors, codes, gathering.centres(), 0.01) is None
