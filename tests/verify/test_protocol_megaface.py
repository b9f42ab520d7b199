"""A small MegaFace by hand and by brute force: searches, ranks, verification, noises, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.engines.counting import distractor_counts, pair_counts
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.curve import roc
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.verify.protocols.megaface import MegafaceConfig
from cosface_cli.verify.stage import verify_protocol
from tests.verify.conftest import MakeStore, at_angle, collect

PROBES = {"A/1.jpg": 0, "A/2.jpg": 20, "A/3.jpg": 60, "B/1.jpg": 180, "B/2.jpg": 200, "C/1.jpg": 300}
DISTRACTORS = {"x/1.jpg": 45, "x/2.jpg": 190, "x/3.jpg": 260}


@pytest.fixture
def probes(make_store: MakeStore) -> Path:
    return make_store({name: at_angle(d) for name, d in PROBES.items()}, "probes.h5")


@pytest.fixture
def others(make_store: MakeStore) -> Path:
    return make_store({name: at_angle(d) for name, d in DISTRACTORS.items()}, "others.h5")


def test_searches_by_hand(probes: Path, others: Path):
    """Nearest distractors: of A1 45 degrees, A2 25, A3 15, B1 10, B2 10. A1-A2 lie 20 apart: both find each other.
    A1-A3 60, A2-A3 40, B1-B2 20: nobody does. So 2 of 8 searches."""
    notes: list[str] = []
    found = verify_protocol(
        MegafaceConfig(source=probes, distractors=others),
        collect(notes),
    )
    assert (found.protocol, found.genuine, found.impostors, found.accuracy) == ("megaface", 4, 15, None)
    assert found.identification is not None
    assert (found.identification["searches"], found.identification["people"], found.identification["probes"]) == (
        8,
        2,
        5,
    )
    assert found.identification["rank1"]["rate"] == 2 / 8
    (last,) = found.identification["by_distractors"]
    assert last["distractors"] == 3 and last["rank10"]["rate"] == 1.0  # there are no ten distractors
    # impostors by angle: 10 10 15 25 45 ...: at FAR .1 one of 15 may pass, but two are tied
    rate = found.tar_at_far[0]
    assert (rate["far"], rate["tar"], rate["achieved_far"]) == (0.1, 0.0, 0.0)
    assert any("1 probes are left out: no identity, or the only photo of a person" in note for note in notes)


def test_a_tie_with_a_distractor_is_lost(make_store: MakeStore):
    probes = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(30)}, "p.h5")
    tied = make_store({"x/1.jpg": at_angle(-30)}, "d.h5")
    found = verify_protocol(MegafaceConfig(source=probes, distractors=tied))
    assert found.identification is not None
    assert found.identification["rank1"]["rate"] == 0.5  # photo 2 finds photo 1; for photo 1 both are as near


@pytest.mark.parametrize("workers", (1, 3))
def test_by_brute_force(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, workers: int):
    monkeypatch.setattr(distractor_counts, "ROWS", 7)
    monkeypatch.setattr(distractor_counts, "COLUMNS", 30)
    monkeypatch.setattr(pair_counts, "MAX_KEPT", 400)
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(9), 4)
    centres = random.normal(size=(9, 6))
    own = unit_length((centres[who] + 0.9 * random.normal(size=(36, 6))).astype(np.float32))
    crowd = unit_length(random.normal(size=(250, 6)).astype(np.float32))
    first = make_store({f"p{w}/{n}.jpg": v for n, (w, v) in enumerate(zip(who, own, strict=True))}, "p.h5")
    second = make_store({f"{n}.jpg": v for n, v in enumerate(crowd)}, "d.h5")
    found = verify_protocol(MegafaceConfig(source=first, distractors=second, workers=workers))
    assert found.identification is not None
    wide, far = own.astype(np.float64), crowd.astype(np.float64)
    by_count = {row["distractors"]: row for row in found.identification["by_distractors"]}
    assert list(by_count) == [10, 100, 250]
    for count, row in by_count.items():
        rivals = np.sort(wide @ far[:count].T, axis=1)[:, ::-1]
        for rank in (1, 10):
            won = [
                wide[i] @ wide[j] > rivals[i, rank - 1]
                for i in range(36) for j in range(36) if i != j and who[i] == who[j]
            ]  # fmt: skip
            assert row[f"rank{rank}"]["rate"] == np.mean(won)
            assert row[f"rank{rank}"]["low"] < np.mean(won) < row[f"rank{rank}"]["high"]
    one, other = np.triu_indices(36, 1)
    same = who[one] == who[other]
    scores = np.concatenate([np.einsum("nd,nd->n", wide[one][same], wide[other][same]), (wide @ far.T).ravel()])
    curve = roc(scores, np.arange(len(scores)) < same.sum())
    for rate in found.tar_at_far:
        expected = tar_at_far(curve, rate["far"])
        assert (rate["tar"], rate["achieved_far"]) == (expected.tar, expected.achieved_far)
        assert rate["impostors"] == 9000 and rate["impostors_needed"] == expected.impostors_needed
        if rate["far"] == 0.01:  # the 400 highest impostors tell it, people drawn anew
            assert rate["bootstrap_low"] < rate["tar"] < rate["bootstrap_high"]


def test_features_are_written_and_read_back(probes: Path, others: Path, tmp_path: Path):
    out = tmp_path / "features"
    stores = verify_protocol(MegafaceConfig(source=probes, distractors=others, features=out))
    assert (out / "probes" / "A" / "1.jpg_cosface.bin").stat().st_size == 16 + 8
    files = verify_protocol(MegafaceConfig(source=out / "probes", distractors=out / "distractors"))
    for field in ("genuine", "impostors", "tar_at_far", "identification", "eer"):
        assert getattr(files, field) == getattr(stores, field)
    assert (files.model, files.model_id) == ("features", "")
    with pytest.raises(CosfaceError, match="the folder for features is not empty"):
        verify_protocol(MegafaceConfig(source=probes, distractors=others, features=out))
    (out / "distractors" / "x" / "2.jpg_cosface.bin").write_bytes(b"")
    with pytest.raises(CosfaceError, match=r"2\.jpg_cosface\.bin: not a MegaFace feature"):
        verify_protocol(MegafaceConfig(source=out / "probes", distractors=out / "distractors"))
    (out / "distractors" / "x" / "2.jpg_cosface.bin").unlink()  # a hole is no fault
    assert verify_protocol(MegafaceConfig(source=out / "probes", distractors=out / "distractors")).impostors == 10


def test_noises_are_left_out_and_must_be_of_this_set(probes: Path, others: Path, tmp_path: Path):
    noises = tmp_path / "noises.txt"
    noises.write_text("# of some set\n\nA/3.jpg\n7\tx/2\nnobody.jpg\n")
    found = verify_protocol(MegafaceConfig(source=probes, distractors=others, noises=noises))
    assert found.details["noises"] == {"listed": 3, "matched": 2}
    assert (found.genuine, found.impostors) == (2, 8)
    noises.write_text("3.jpg\nnobody.jpg\nno-one.jpg\n")
    with pytest.raises(CosfaceError, match="only 1 of its 3 photos exist here"):
        verify_protocol(MegafaceConfig(source=probes, distractors=others, noises=noises))
    noises.write_text("x/1\nx/2\nx/3\n")
    with pytest.raises(CosfaceError, match="it leaves no distractors"):
        verify_protocol(MegafaceConfig(source=probes, distractors=others, noises=noises))
    noises.write_text("#\n")
    with pytest.raises(CosfaceError, match="the list names no photos"):
        verify_protocol(MegafaceConfig(source=probes, distractors=others, noises=noises))


def test_stores_that_do_not_fit_each_other(make_store: MakeStore, probes: Path, others: Path, tmp_path: Path):
    def run(**other: object) -> None:
        verify_protocol(MegafaceConfig(source=probes, **other))  # type: ignore[arg-type]

    with pytest.raises(CosfaceError, match="name a store or a folder of features: --distractors"):
        run()
    with pytest.raises(ModelMismatch, match=r"made with other \(other-id\), expected net \(net-id\)"):
        run(distractors=make_store({"a.jpg": at_angle(0)}, "o.h5", model="other"))
    with pytest.raises(ModelMismatch, match="flip sum"):
        run(distractors=make_store({"a.jpg": at_angle(0)}, "f.h5", flip="sum"))
    with pytest.raises(CosfaceError, match=r"size 3\), expected .*size 2"):
        run(distractors=make_store({"a.jpg": np.array([1.0, 0, 0])}, "w.h5"))
    with pytest.raises(CosfaceError, match=r"the embedding of b\.jpg is not of unit length"):
        run(distractors=make_store({"a.jpg": at_angle(0), "b.jpg": np.array([math.nan, 1])}, "n.h5"))
    with pytest.raises(CosfaceError, match="no person has two photos"):
        verify_protocol(MegafaceConfig(source=make_store({"a.jpg": at_angle(0)}, "1.h5"), distractors=others))
    with pytest.raises(CosfaceError, match="no such folder of features"):
        run(distractors=tmp_path / "none")


def test_common_identities_are_noted(make_store: MakeStore, probes: Path):
    notes: list[str] = []
    crowd = make_store({"A/9.jpg": at_angle(10), "z/1.jpg": at_angle(100)}, "d.h5")
    verify_protocol(
        MegafaceConfig(source=probes, distractors=crowd),
        collect(notes),
    )
    assert any("1 identities have the same name in both (A)" in note for note in notes)
