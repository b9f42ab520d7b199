"""The audit of labels, against the sums done one by one, and on labels that were swapped on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cosface_cli.align import AlignConfig
from cosface_cli.align.stage import align
from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.train.report import label_audit as module
from cosface_cli.train.report.label_audit import Audit, judge

CPU = torch.device("cpu")


def judged(vectors: np.ndarray, labels: np.ndarray, identities: int, rows: int = 1000) -> Audit:
    vectors = vectors.astype(np.float32)

    def parts() -> Iterator[np.ndarray]:
        for begin in range(0, len(vectors), rows):
            yield vectors[begin : begin + rows]

    return judge(parts, labels, identities, CPU)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def people(identities: int, each: int, size: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about as many centres, each off by a Gaussian of that length in all."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), each)
    centres = unit(draw.normal(size=(identities, size)))
    return unit(centres[labels] + draw.normal(size=(len(labels), size)) * spread / size**0.5), labels


def test_one_round_is_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", 1)
    vectors, labels = people(7, 5, 16, 1.6)
    vectors = vectors.astype(np.float32).astype(np.float64)
    found = {suspect.crop: suspect for suspect in judged(vectors, labels, 7).suspects}
    assert 3 <= len(found) <= 30
    for place, vector in enumerate(vectors):
        of = {}
        for identity in range(7):
            theirs = [v for i, v in enumerate(vectors) if labels[i] == identity and i != place]
            centre = sum(theirs) / len(theirs)
            of[identity] = float(vector @ centre / np.linalg.norm(centre))
        own = of.pop(int(labels[place]))
        nearest = max(of, key=lambda identity: of[identity])
        assert (place in found) == (of[nearest] > own)
        if place in found:
            suspect = found[place]
            assert (suspect.label, suspect.nearest) == (labels[place], nearest)
            assert (suspect.label_cosine, suspect.nearest_cosine) == (
                pytest.approx(own, abs=1e-6),
                pytest.approx(of[nearest], abs=1e-6),
            )


def test_swapped_labels_are_found_and_nothing_else() -> None:
    vectors, truth = people(40, 20, 64, 1.0)
    draw = np.random.default_rng(1)
    swapped = draw.permutation(len(truth))[:40]
    labels = truth.copy()
    labels[swapped] = (truth[swapped] + draw.integers(1, 40, len(swapped))) % 40
    found = judged(vectors, labels, 40)
    assert sorted(suspect.crop for suspect in found.suspects) == sorted(swapped)
    assert all(suspect.nearest == truth[suspect.crop] for suspect in found.suspects)
    surest = [suspect.nearest_cosine - suspect.label_cosine for suspect in found.suspects]
    assert surest == sorted(surest, reverse=True)
    assert found.judged == 800 and not found.is_doubtful
    assert not set(found.typical) & set(swapped) and (labels[found.typical] == np.arange(40)).all()


def test_wrong_crops_do_not_hide_behind_each_other() -> None:
    """Three of eight are another person's: with them the centre is drawn to them, without them it is not."""
    vectors, truth = people(6, 8, 32, 0.6, seed=3)
    labels = truth.copy()
    labels[8:11] = 0
    swapped = {8, 9, 10}
    assert {suspect.crop for suspect in judged(vectors, labels, 6).suspects} == swapped


def test_the_parts_do_not_matter() -> None:
    vectors, labels = people(9, 6, 24, 2.0)
    at_once, in_parts = judged(vectors, labels, 9), judged(vectors, labels, 9, rows=7)
    assert at_once.suspects and (at_once.typical == in_parts.typical).all()
    for one, other in zip(at_once.suspects, in_parts.suspects, strict=True):
        assert (one.crop, one.nearest) == (other.crop, other.nearest)
        assert one.label_cosine == pytest.approx(other.label_cosine, abs=1e-6)


def test_who_is_alone_or_has_no_vector_is_not_judged() -> None:
    axes = np.eye(4)
    vectors = np.stack([axes[0], axes[0], axes[1], axes[2], axes[2], np.full(4, np.nan), np.zeros(4)])
    found = judged(vectors, np.array([0, 0, 1, 2, 2, 2, 2]), 4)
    assert found.judged == 4 and found.suspects == ()
    assert found.typical.tolist() == [1, -1, 4, -1]


def test_of_whom_all_are_wrong_all_are_named() -> None:
    axes = np.eye(3)
    vectors = np.stack([axes[0], axes[0], axes[0], axes[1], axes[1], axes[1], axes[0], axes[1]])
    found = judged(vectors, np.array([0, 0, 0, 1, 1, 1, 2, 2]), 3)
    assert {(suspect.crop, suspect.nearest) for suspect in found.suspects} == {(6, 0), (7, 1)}
    assert found.typical.tolist() == [2, 5, 7], "of suspects too, where there is nobody else"
    assert found.is_doubtful, "two of eight"


def test_swapped_labels_of_photographs(shared: Path, tmp_path: Path) -> None:
    """25 people of CelebA, 5 % of 250 crops filed under another one, judged by the built-in network."""
    photos = tmp_path / "photos"
    for person in sorted((shared / "data" / "celeba").iterdir())[:25]:
        for photo in sorted(person.iterdir())[:10]:
            (photos / person.name).mkdir(parents=True, exist_ok=True)
            (photos / person.name / photo.name).symlink_to(photo)
    align(AlignConfig(raw=str(photos), aligned=tmp_path / "aligned", min_score=0.99, workers=1))
    embed(EmbedConfig(source=str(tmp_path / "aligned"), store=tmp_path / "faces.h5", workers=1))
    with h5py.File(tmp_path / "faces.h5") as store:
        vectors, truth = store["embeddings"][:], store["identity/codes"][:].astype(np.int64)
    draw = np.random.default_rng(0)
    swapped = draw.permutation(len(truth))[: round(0.05 * len(truth))]
    labels = truth.copy()
    labels[swapped] = (truth[swapped] + draw.integers(1, 25, len(swapped))) % 25
    found = judged(vectors, labels, 25).suspects
    hits = {suspect.crop for suspect in found} & set(swapped)
    surest = {suspect.crop for suspect in found[: len(swapped)]}
    assert len(hits) == len(swapped), "recall"
    assert len(surest & set(swapped)) >= 0.8 * len(swapped), "the surest are those"
    assert all(suspect.nearest == truth[suspect.crop] for suspect in found if suspect.crop in hits)
