"""Which crops make up the batches of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.errors import CosfaceError
from cosface_cli.train.crops.sampling import SHUFFLED, Sampling, sampling


def draws(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def test_shuffled_sees_every_crop_once():
    labels = labels_of([3, 9, 1, 7])
    order = SHUFFLED.order(labels, 5, draws(0, 0, 1))
    assert sorted(order) == list(range(20))
    assert order.tolist() != SHUFFLED.order(labels, 5, draws(0, 0, 2)).tolist()
    assert len(set(SHUFFLED.order(labels, 6, draws(0, 0, 1)))) == 18
    assert SHUFFLED.batch_size(20, 64) == 20 and SHUFFLED.steps(20, 64) == 1


@given(
    counts=st.lists(st.integers(1, 12), min_size=2, max_size=15),
    images=st.integers(1, 5),
    people=st.integers(1, 15),
    epoch=st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_balanced_batches_are_p_identities_by_k_crops(counts: list[int], images: int, people: int, epoch: int):
    people = min(people, len(counts))
    labels, batch, balanced = labels_of(counts), people * images, Sampling("balanced", images)
    order = balanced.order(labels, batch, draws(0, 0, epoch))
    steps = balanced.steps(len(labels), batch)
    assert len(order) == steps * batch
    times: dict[int, list[int]] = {}
    for chosen in order.reshape(steps, people, images):
        who = labels[chosen]  # (P, K)
        assert (who == who[:, :1]).all() and len(set(who[:, 0])) == people
        for person, crops in zip(who[:, 0], chosen, strict=True):
            assert len(set(crops)) == min(images, counts[person])  # no crop twice before all came
            times.setdefault(int(person), []).extend(crops.tolist())
    for person, crops in times.items():
        uses = np.bincount(crops, minlength=len(labels))[labels == person]
        assert uses.max() - uses.min() <= 1  # a person's crops come equally often
    rounds = len(order) // images / (len(counts) // people * people)
    visits = [len(times.get(person, [])) // images for person in range(len(counts))]
    assert max(visits) <= np.ceil(rounds)
    if len(counts) % people == 0:
        assert max(visits) - min(visits) <= 1


def test_balanced_is_a_function_of_seed_and_epoch():
    labels, balanced = labels_of([5] * 8), Sampling("balanced", 2)
    assert balanced.order(labels, 8, draws(1, 0, 2)).tolist() == balanced.order(labels, 8, draws(1, 0, 2)).tolist()
    assert balanced.order(labels, 8, draws(1, 0, 2)).tolist() != balanced.order(labels, 8, draws(1, 0, 3)).tolist()
    assert balanced.order(labels, 8, draws(1, 0, 2)).tolist() != balanced.order(labels, 8, draws(2, 0, 2)).tolist()


def test_rare_people_come_as_often_as_frequent_ones():
    labels = labels_of([1000, 10, 10, 10])
    order = Sampling("balanced", 2).order(labels, 8, draws(0, 0, 1))
    assert np.bincount(labels[order]).tolist() == [256] * 4  # 128 steps of 2 crops of each
    plain = np.bincount(labels[SHUFFLED.order(labels, 8, draws(0, 0, 1))])
    assert plain[0] > 900 > 11 > plain[1]


def test_batches_that_cannot_be_made_up_are_refused():
    Sampling("balanced", 4).check(16, 64)
    with pytest.raises(
        CosfaceError, match=r"--batch must be a multiple of --images-per-identity 4, got 30; .*--batch 28"
    ):
        Sampling("balanced", 4).check(100, 30)
    with pytest.raises(CosfaceError, match=r"needs 16 identities, got 8; lower --batch to 32"):
        Sampling("balanced", 4).check(8, 64)
    SHUFFLED.check(2, 63)


def test_settings_without_effect_are_refused():
    assert sampling("balanced", None) == Sampling("balanced", 4)
    with pytest.raises(CosfaceError, match="takes no --images-per-identity; add --sampler balanced"):
        sampling("shuffled", 4)
    with pytest.raises(CosfaceError, match=r"did you mean 'balanced'\?"):
        sampling("balance", None)
