"""Identification: names above the threshold only, which strangers set; figures worked by hand on a small gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index.people import ClusterConfig, Evaluation, IdentifyConfig, IdentifyReport
from cosface_cli.index.people.index_faces import IndexFaces
from cosface_cli.index.people.names.edits import label
from cosface_cli.index.people.stage import cluster, identify
from cosface_cli.outcomes import Done, Note, Outcome
from tests.conftest import Cosface
from tests.index.made import SIZE, index, people, photo, row, store

KNOWN = {f"known{n}": 4 for n in range(30)}


def run(config: IdentifyConfig) -> tuple[IdentifyReport | Evaluation, list[Any], list[str]]:
    told: list[Outcome] = []
    report = identify(config, told.append)
    rows = [row for outcome in told if isinstance(outcome, Done) for row in outcome.rows]
    return report, rows, [outcome.text for outcome in told if isinstance(outcome, Note)]


def at(degrees: float, second: float = 0.0) -> np.ndarray:
    """A unit vector in the plane of the first two axes, or turned out of it by `second` towards the third."""
    vector = np.zeros(SIZE)
    a, b = np.radians([degrees, second])
    vector[:3] = np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)
    return vector.astype(np.float32)


def faces(*placed: tuple[str, float]) -> list[tuple[FaceRow, np.ndarray]]:
    """(person, degrees): a photo each."""
    return [(row(person, n), at(degrees)) for n, (person, degrees) in enumerate(placed)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index(tmp_path_factory.mktemp("identify") / "i", people(KNOWN))


@pytest.mark.parametrize("pool", ("mean", "max", "quality"))
def test_strangers_get_no_name(root: Path, tmp_path: Path, pool: str) -> None:
    probes = [*people(dict.fromkeys(KNOWN, 2), start=10), *people({f"new{n}": 2 for n in range(20)})]
    report, rows, _ = run(IdentifyConfig(index=root, probes=(str(store(tmp_path / "p.h5", probes)),), pool=pool))
    assert isinstance(report, IdentifyReport) and (report.searches, report.people, report.set_on) == (100, 30, 120)
    for probe, answer in zip(probes, rows, strict=True):
        own = probe[0].identity
        assert answer["match"] == (own if own in KNOWN else None), answer
        assert (answer["candidate"] == own) == (own in KNOWN)
        assert answer["source"].startswith(answer["candidate"]) and len(answer["candidates"]) == 3
        assert (answer["cos"] >= answer["threshold"]) == (answer["match"] is not None)
    assert report.known == 60


def test_the_threshold_worked_by_hand(tmp_path: Path) -> None:
    """a, b and c at 0, 10 and 40 degrees: left out, a and b see each other at 10, and c sees b at 30."""
    root = index(tmp_path / "i", faces(("a", 0), ("b", 10), ("c", 40)))
    probe = str(store(tmp_path / "p.h5", faces(("?", 49), ("?", 55), ("?", 65))))
    report, rows, _ = run(IdentifyConfig(index=root, probes=(probe,), fpir=0.34))
    # one of three strangers may be answered, but two are alike: so none, just above cos 10
    assert isinstance(report, IdentifyReport) and report.threshold == pytest.approx(np.cos(np.radians(10)))
    assert [answer["match"] for answer in rows] == ["c", None, None]
    # strangers at 15, 25, 35 from the nearest: of four searches one may be answered
    strangers = store(tmp_path / "s.h5", faces(("s", -15), ("s", 55), ("t", 65), ("t", 75), ("a", 41)))
    report, rows, notes = run(IdentifyConfig(index=root, probes=(probe,), fpir=0.25, strangers=(strangers,)))
    assert isinstance(report, IdentifyReport) and report.set_on == 4
    assert report.threshold == pytest.approx(np.cos(np.radians(15)), abs=1e-6)
    assert notes == ["1 photos of --strangers were left out: their identity is that of an enrolled person"]
    # the threshold itself is enough
    cos = float(at(49).astype(np.float64) @ at(40).astype(np.float64))
    exact = IndexFaces(root).nearest(at(49)[None], 1)[0][0, 0]
    assert exact == pytest.approx(cos, abs=1e-12)
    for least, match in ((exact, "c"), (np.nextafter(exact, 1), None)):
        assert run(IdentifyConfig(index=root, probes=(probe,), min_cos=float(least)))[1][0]["match"] == match
    with pytest.raises(CosfaceError, match="needs 100 searches by strangers or more, there are 3"):
        run(IdentifyConfig(index=root, probes=(probe,), fpir=0.01))


def test_figures_worked_by_hand(tmp_path: Path) -> None:
    root = index(tmp_path / "i", faces(("a", 0), ("b", 40), ("c", 80)))
    # own at rank 1 by 5 and by 15 degrees, at rank 2 by 25 (b at 15), and rank 3; strangers at 10 and 30 from c
    probes = faces(("a", 5), ("b", 25), ("a", 25), ("a", 78), ("x", 90), ("y", 110))
    config = IdentifyConfig(
        index=root, probes=(str(store(tmp_path / "p.h5", probes)),), min_cos=float(np.cos(np.radians(12)))
    )
    report, rows, _ = run(replace(config, evaluate=True))
    assert isinstance(report, Evaluation) and rows == []
    assert (report.mated, report.unmated, report.people, report.set_on) == (4, 2, 3, 0)
    assert report.cmc == (0.5, 0.75, 1.0)
    assert report.fpir is not None and (report.fpir["count"], report.fpir["of"]) == (1, 2)
    assert report.fnir is not None and report.fnir["rate"] == 0.75, "a by 5 alone is near enough and first"
    assert 0.19 < report.fnir["low"] < 0.2 and 0.99 < report.fnir["high"] < 1, "Clopper and Pearson's of 3 in 4"
    assert all(point["dir"] is None for point in report.dir), "two strangers resolve no rate of .1"


def test_a_photo_that_is_enrolled_proves_nothing(tmp_path: Path, root: Path) -> None:
    probes = [*people({"known1": 4}), *people({"known1": 1, "new": 1}, start=20)]
    nameless = (replace(row("x", 0), identity=None), photo("x", 0))
    config = IdentifyConfig(index=root, probes=(str(store(tmp_path / "p.h5", [*probes, nameless])),), evaluate=True)
    report, _, notes = run(config)
    assert isinstance(report, Evaluation) and (report.mated, report.unmated) == (1, 1)
    assert [note.partition(" ")[0] for note in notes] == ["1", "4"] and "they are enrolled photos" in notes[1]
    with pytest.raises(CosfaceError, match="no probe has a known identity"):
        run(replace(config, probes=(str(store(tmp_path / "q.h5", [nameless])),)))


@pytest.mark.parametrize("pool", ("mean", "max", "quality"))
def test_several_photos_of_one_person(root: Path, tmp_path: Path, pool: str) -> None:
    probes = [str(store(tmp_path / f"{name}.h5", people({name: 4}, start=30))) for name in ("known3", "new")]
    alone = run(IdentifyConfig(index=root, probes=(probes[0],), pool=pool, fpir=0.05))[0]
    for path, want in zip(probes, ("known3", None), strict=True):
        report, rows, _ = run(IdentifyConfig(index=root, probes=(path,), pool=pool, together=True, fpir=0.05))
        assert isinstance(report, IdentifyReport) and report.searches == 1 and report.set_on == 30
        assert [answer["match"] for answer in rows] == [want] and rows[0]["probe"] == "4 photos"
        assert isinstance(alone, IdentifyReport)
        if pool != "max":
            assert report.threshold > alone.threshold, "pooled photos of strangers score higher, and set it higher"
    if pool == "mean":
        vectors = np.stack([photo("known3", n) for n in range(30, 34)]).astype(np.float64).sum(axis=0)
        own = np.stack([photo("known3", n) for n in range(4)]).astype(np.float64).sum(axis=0)
        want_cos = vectors @ own / np.linalg.norm(vectors) / np.linalg.norm(own)
        assert run(IdentifyConfig(index=root, probes=(probes[0],), together=True, min_cos=0.5))[1][0][
            "cos"
        ] == pytest.approx(want_cos, abs=2e-6)


def test_max_is_the_nearest_pair_and_quality_weighs_by_the_detectors_score(tmp_path: Path) -> None:
    enrolled = [(row("a", 0, score=1.0), at(0)), (row("a", 1, score=0.5), at(20)), (row("b", 0), at(180))]
    root = index(tmp_path / "i", enrolled)
    probe = str(store(tmp_path / "p.h5", [(row("?", 0, score=0.5), at(30)), (row("?", 1, score=1.0), at(50))]))
    for pool, together, want in [
        ("max", False, [10, 30]),
        ("max", True, [10]),
        ("mean", False, [20, 40]),
        ("mean", True, [30]),
    ]:
        _, rows, _ = run(IdentifyConfig(index=root, probes=(probe,), min_cos=0.0, pool=pool, together=together))
        assert [round(np.degrees(np.arccos(answer["cos"]))) for answer in rows] == want, pool
    _, rows, _ = run(IdentifyConfig(index=root, probes=(probe,), min_cos=0.0, pool="quality", together=True))
    weighted = [at(x).astype(np.float64) + at(y) / 16 for x, y in ((0, 20), (50, 30))]  # (1/2)^4
    want_cos = weighted[0] @ weighted[1] / np.linalg.norm(weighted[0]) / np.linalg.norm(weighted[1])
    assert rows[0]["cos"] == pytest.approx(want_cos, abs=2e-6)


def test_strangers_without_a_name_are_not_one_person(tmp_path: Path) -> None:
    """Photos of nobody known are no several photos of somebody: with two of a person asked for, there is no search."""
    root = index(tmp_path / "i", faces(("a", 0), ("b", 90)))
    nameless = [(replace(found, identity=None), vector) for found, vector in faces(("x", 20), ("x", 40), ("x", 60))]
    strangers = (store(tmp_path / "s.h5", nameless),)
    probe = str(store(tmp_path / "p.h5", faces(("?", 1), ("?", 2))))
    config = IdentifyConfig(index=root, probes=(probe,), fpir=0.4, strangers=strangers)
    report = run(config)[0]
    assert isinstance(report, IdentifyReport) and report.set_on == 3
    with pytest.raises(CosfaceError, match="there are 0"):
        run(replace(config, together=True))


def test_names_go_before_folders_and_the_nameless_are_nobody(tmp_path: Path) -> None:
    nameless = [(replace(found, identity=None), vector) for found, vector in people({"ann": 4, "bo": 3})]
    root = index(tmp_path / "i", [*nameless, *people({"cy": 4})])
    probe = str(store(tmp_path / "p.h5", people({"ann": 1, "bo": 1, "cy": 1}, start=9)))
    config = IdentifyConfig(index=root, probes=(probe,), min_cos=0.93)
    assert [answer["match"] for answer in run(config)[1]] == [None, None, "cy"]
    cluster(ClusterConfig(index=root))
    ids = {person: n for n, person in enumerate(("ann", "cy", "bo"), 1)}
    label(root, str(ids["ann"]), "Ann")
    label(root, str(ids["cy"]), "Cyrus")
    for pool in ("mean", "max"):
        assert [answer["match"] for answer in run(replace(config, pool=pool))[1]] == ["Ann", None, "Cyrus"]
    empty = index(tmp_path / "e", nameless)
    with pytest.raises(CosfaceError, match="no face of the index has a name"):
        run(replace(config, index=empty))


def test_what_is_refused(root: Path, tmp_path: Path) -> None:
    probe = str(store(tmp_path / "p.h5", people({"known1": 1}, start=9)))
    other = str(store(tmp_path / "o.h5", people({"known1": 1}), model_id="other-01"))
    for change, words in [
        ({"fpir": 0.0}, "--fpir must be above 0 and below 1, got 0"),
        ({"fpir": 1.5}, "--fpir must be above 0 and below 1, got 1.5"),
        ({"pool": "sum"}, "choose one of mean, max, quality"),
        ({"k": 0}, "-k must be at least 1, got 0"),
        ({"index": tmp_path}, "no index here"),
    ]:
        with pytest.raises(CosfaceError, match=words):
            run(replace(IdentifyConfig(index=root, probes=(probe,)), **change))  # type: ignore[arg-type]
    for config in (
        IdentifyConfig(index=root, probes=(other,)),
        IdentifyConfig(index=root, probes=(probe,), strangers=(Path(other),)),
    ):
        with pytest.raises(ModelMismatch, match="other-01"):
            run(config)
    one = index(tmp_path / "one", people({"ann": 3}))
    with pytest.raises(CosfaceError, match="only one person is enrolled"):
        run(IdentifyConfig(index=one, probes=(probe,)))


def test_photos_that_cancel_out(tmp_path: Path) -> None:
    root = index(tmp_path / "i", faces(("a", 0), ("a", 180), ("b", 90)))
    probe = str(store(tmp_path / "p.h5", faces(("?", 1))))
    with pytest.raises(CosfaceError, match="--pool max"):
        run(IdentifyConfig(index=root, probes=(probe,), min_cos=0.5))
    assert run(IdentifyConfig(index=root, probes=(probe,), min_cos=0.5, pool="max"))[1][0]["match"] == "a"


def test_answers_do_not_depend_on_the_batch(root: Path, tmp_path: Path) -> None:
    probes = people(dict.fromkeys(KNOWN, 3), start=50)
    together = run(IdentifyConfig(index=root, probes=(str(store(tmp_path / "p.h5", probes)),)))[1]
    alone = [
        run(IdentifyConfig(index=root, probes=(str(store(tmp_path / f"{n}.h5", [probe])),)))[1][0]
        for n, probe in enumerate(probes[::9])
    ]
    assert together[::9] == alone


@pytest.mark.slow
def test_at_the_terminal(invoke: Cosface, root: Path, tmp_path: Path, packaged_photos: Path) -> None:
    known = store(tmp_path / "k.h5", people({"known1": 1}, start=9))
    new = store(tmp_path / "n.h5", people({"new": 1}))
    done = invoke("index", "identify", root, known, "--fpir", "0.05")
    assert done.code == 0 and done.rows[0]["match"] == "known1" and "1 of 1 known, of 30 people" in done.err
    unknown = invoke("index", "identify", root, new, "--fpir", "0.05")
    assert unknown.code == 1 and unknown.rows[0]["match"] is None and unknown.rows[0]["candidate"] in KNOWN
    scored = invoke("index", "identify", root, known, new, "--evaluate", "--pool", "max")
    assert scored.code == 0 and scored.rows[0]["cmc"][0] == 1.0 and scored.rows[0]["fpir"]["of"] == 1
    for words, part in [
        ((known, "--fpir", "0.001"), "--strangers"),
        ((known, "--min-cos", ".9", "--strangers", new), "leave out --min-cos"),
        ((known, "--min-cos", ".9", "--fpir", ".1"), "leave out --min-cos"),
        ((known, "--evaluate", "-k", "5"), "leave out -k"),
        ((known, "--pool", "meen"), "did you mean 'mean'"),
    ]:
        failed = invoke("index", "identify", root, *words)
        assert failed.code == 2 and failed.out == "" and part in failed.err and len(failed.err.splitlines()) == 1
