"""cosface embed info, merge and split."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader, write_store
from cosface_cli.embed import InfoConfig, MergeConfig, SplitConfig
from cosface_cli.embed.store_info import info
from cosface_cli.embed.store_merge import merge
from cosface_cli.embed.store_split import split
from cosface_cli.errors import CosfaceError, DamagedError, ModelMismatch
from tests.conftest import Cosface

pytestmark = pytest.mark.slow

HEADER = StoreHeader(model="dlib", model_id="dlib-0123", template="dlib", flip="none", size=4)
Pair = tuple[FaceRow, np.ndarray]


def faces(source: str, count: int = 1, version: int = 0, root: str = "/photos") -> list[Pair]:
    head, slash, _ = source.partition("/")
    made = []
    for face in range(1, count + 1):
        row = FaceRow(
            source=source,
            identity=head if slash else None,
            root=root,
            settings="mtcnn",
            face=face,
            box=(1, 2, 3, 4),
            score=0.5,
            sharpness=9.5,
            hash=f"{version:064x}",
            size=7,
            mtime_ns=8,
        )
        vector = np.random.default_rng([face, version, *source.encode("utf-8", "replace")]).normal(size=4)
        made.append((row, (vector / np.linalg.norm(vector)).astype(np.float32)))
    return made


def reject(source: str, reason: str = "no_face", root: str = "/photos") -> dict[str, Any]:
    fields = {"hash": "00" * 32, "size": 1, "mtime_ns": 2, "settings": "mtcnn", "reason": reason, "words": "none"}
    return {"root": root, "source": source, **fields}


def store(path: Path, *sources: list[Pair], rejects: tuple[dict[str, Any], ...] = (), header: Any = HEADER) -> Path:
    write_store(path, header, (pair for source in sources for pair in source), rejects)
    return path


def listed(path: Path) -> list[tuple[str, int, str]]:
    with Store(path) as held:
        return [(row.source, row.face, row.hash[-1]) for row in held.rows()]


def rejected(path: Path) -> list[tuple[str, str]]:
    with Store(path) as held:
        return [(found["source"], found["reason"]) for found in held.rejects()]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """11 sources, some without an identity, with 20 rows and 3 rejects."""
    sources = [faces(f"{'abc'[n // 4]}/{n}.jpg", 1 + n % 3) for n in range(10)] + [faces("top.jpg")]
    rejects = (reject("a/x.jpg"), reject("c/y.jpg", "truncated"), reject("z.jpg"))
    return store(tmp_path / "whole.h5", *sources, rejects=rejects)


def test_info_of_a_store(invoke: Cosface, whole: Path) -> None:
    done = invoke("embed", "info", whole)
    assert done.code == 0 and done.rows == [
        {
            "store": str(whole),
            "rows": 20,
            "model": "dlib",
            "model_id": "dlib-0123",
            "template": "dlib",
            "flip": "none",
            "size": 4,
            "precision": "fp32",
            "identities": 3,
            "sources": 11,
            "rejects": {"no_face": 2, "truncated": 1},
            "bytes": whole.stat().st_size,
            "unfinished": False,
        }
    ]
    assert "20 embeddings of 4 numbers by dlib" in done.err and "no_face 2, truncated 1" in done.err
    quiet = invoke("embed", "info", whole, "--quiet", "--format", "tsv")
    assert quiet.err == "" and quiet.out.splitlines()[0].startswith("store\trows\tmodel")
    whole.with_name(".whole.h5.journal").write_bytes(b"x")
    again = invoke("embed", "info", whole)
    assert again.rows[0]["unfinished"] is True and "an interrupted run was filling this store" in again.err


def test_info_of_another_file(invoke: Cosface, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "words.h5").write_text("words")
    for path, part in (
        (tmp_path / "no.h5", "no such store"),
        (tmp_path / "words.h5", "not an HDF5 file"),
        (tmp_path, "folder"),
    ):
        done = invoke("embed", "info", path)
        assert done.code == 2 and done.out == "" and part in done.err and len(done.err.splitlines()) == 1, done
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(DamagedError):
        info(InfoConfig(store=whole))


def test_the_words_are_commands_unless_a_file_has_that_name(invoke: Cosface, whole: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "info").mkdir(parents=True)
    both = invoke("embed", "info", whole, cwd=place)
    assert both.code == 2 and "./info" in both.err and len(both.err.splitlines()) == 1
    folder = invoke("embed", "./info", tmp_path / "new.h5", cwd=place)
    assert folder.code == 1 and "contains no photos" in folder.err, "embed SOURCE STORE is as it was"
    assert invoke("embed", "inf", whole, cwd=place).err.count("no such file or folder") == 1
    assert invoke("embed", "merge", whole, tmp_path / "m.h5", cwd=place).code == 0
    for word in ("info", "merge", "split"):
        shown = invoke("embed", word, "--help", cwd=tmp_path)
        assert shown.code == 0 and f"Usage: cosface embed {word} " in shown.out and "--model" not in shown.out
    assert "cosface embed merge" in " ".join(invoke("embed", "--help").out.split())
    refused = invoke("embed", "info", whole, "--model", "dlib")
    assert refused.code == 2 and "--model" in refused.err, "no option is taken and ignored"
    environment = {"COSFACE_EMBED_INFO_QUIET": "1", "COSFACE_EMBED_MODEL": "mine"}
    (tmp_path / "cosface.toml").write_text('[embed]\nmodel = "mine"\n')
    done = invoke("embed", "info", whole, env=environment, cwd=tmp_path)
    assert done.code == 0 and done.err == "" and len(done.rows) == 1


@pytest.mark.parametrize("parts", ["1", "2", "3", "7", "11", "500"])
def test_split_by_number_and_merged_again(invoke: Cosface, whole: Path, tmp_path: Path, parts: str) -> None:
    reports = split(SplitConfig(store=whole, folder=tmp_path / "parts", by=parts))
    paths = sorted((tmp_path / "parts").iterdir())
    assert [Path(report.store) for report in reports] == paths and len(paths) == min(int(parts), 11)
    assert [row for path in paths for row in listed(path)] == listed(whole)
    sources = [{source for source, _, _ in listed(path)} for path in paths]
    assert max(map(len, sources)) - min(map(len, sources)) <= 1
    assert sum(map(len, sources)) == 11, "the faces of a photo stay together"
    report = merge(MergeConfig(stores=tuple(paths), out=tmp_path / "again.h5"))
    assert (report.rows, report.rejects, report.doubles, report.changed) == (20, 3, 0, 0)
    assert (tmp_path / "again.h5").read_bytes() == whole.read_bytes()


def test_split_by_identity(invoke: Cosface, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    done = invoke("embed", "split", whole, out, "--by", "identity")
    assert done.code == 0 and "20 done" in done.err
    assert [(row["identity"], row["rows"], row["rejects"]) for row in done.rows] == [
        ("a", 7, 1),
        ("b", 8, 0),
        ("c", 4, 1),
        (None, 1, 1),
    ]
    assert {path.name for path in out.iterdir()} == {"a.h5", "b.h5", "c.h5", "unnamed.h5"}
    assert rejected(out / "c.h5") == [("c/y.jpg", "truncated")] and listed(out / "unnamed.h5") == [("top.jpg", 1, "0")]
    merge(
        MergeConfig(stores=tuple(out / f"{name}.h5" for name in ("a", "b", "c", "unnamed")), out=tmp_path / "again.h5")
    )
    assert (tmp_path / "again.h5").read_bytes() == whole.read_bytes()


def test_identities_with_a_path_stay_in_the_folder(tmp_path: Path) -> None:
    names = ["..", "../../x", "unnamed", "%75nnamed", "a/b", "a%2Fb", "/etc/x", "", os.fsdecode(b"\xff"), "人", ".a"]
    sources = [[(replace(row, identity=name), v) for row, v in faces(f"{n}.jpg")] for n, name in enumerate(names)]
    path = store(tmp_path / "s.h5", *sources, faces("none.jpg"))
    reports = split(SplitConfig(store=path, folder=tmp_path / "parts", by="identity"))
    made = list((tmp_path / "parts").iterdir())
    assert len(made) == len(names) + 1 and all(file.is_file() for file in made)
    assert {report.identity for report in reports} == {*names, None}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts", "s.h5"]


def test_rows_of_an_identity_are_joined_in_one_part(tmp_path: Path) -> None:
    path = store(tmp_path / "s.h5", *(faces(f"{'ab'[n % 2]}/{n}.jpg") for n in range(6)))
    split(SplitConfig(store=path, folder=tmp_path / "parts", by="identity"))
    assert [source for source, _, _ in listed(tmp_path / "parts" / "b.h5")] == ["b/1.jpg", "b/3.jpg", "b/5.jpg"]


def test_each_source_is_merged_once_from_the_last_store(invoke: Cosface, tmp_path: Path) -> None:
    a = store(
        tmp_path / "a.h5",
        faces("same.jpg", 2),
        faces("new.jpg", 2, version=1),
        faces("mine.jpg"),
        faces("found.jpg"),
        rejects=(reject("late.jpg"), reject("both.jpg", "truncated"), reject("only.jpg")),
    )
    b = store(
        tmp_path / "b.h5",
        faces("new.jpg", 1, version=2),
        faces("same.jpg", 2),
        faces("late.jpg"),
        faces("mine.jpg", root="/other"),
        rejects=(reject("both.jpg", "no_face"), reject("found.jpg", "missing")),
    )
    done = invoke("embed", "merge", a, b, tmp_path / "out.h5")
    assert done.code == 0
    assert done.rows == [{"store": str(tmp_path / "out.h5"), "rows": 7, "rejects": 2, "doubles": 1, "changed": 1}]
    assert listed(tmp_path / "out.h5") == [
        ("mine.jpg", 1, "0"),
        ("found.jpg", 1, "0"),
        ("new.jpg", 1, "2"),
        ("same.jpg", 1, "0"),
        ("same.jpg", 2, "0"),
        ("late.jpg", 1, "0"),
        ("mine.jpg", 1, "0"),
    ]
    assert rejected(tmp_path / "out.h5") == [("only.jpg", "no_face"), ("both.jpg", "no_face")]
    with Store(tmp_path / "out.h5") as out, Store(b) as other:
        np.testing.assert_array_equal(out.vectors(2, 3), other.vectors(0, 1))


def test_a_merged_store_can_be_continued(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    invoke("embed", people, tmp_path / "whole.h5")
    split(SplitConfig(store=tmp_path / "whole.h5", folder=tmp_path / "parts", by="3"))
    merge(MergeConfig(stores=tuple(sorted((tmp_path / "parts").iterdir())), out=tmp_path / "again.h5"))
    done = invoke("embed", people, tmp_path / "again.h5")
    assert "0 done, 20 unchanged" in done.err
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_other_models_are_refused_by_name(tmp_path: Path, whole: Path) -> None:
    for change, words in (
        (
            {"model": "mine", "model_id": "mine-9"},
            r"other.h5: made with mine \(mine-9\), expected dlib \(.*; .*whole.h5",
        ),
        ({"template": "arcface"}, "template arcface.*template dlib.*whole.h5"),
        ({"flip": "sum"}, "flip sum.*flip none.*whole.h5"),
    ):
        other = store(tmp_path / "other.h5", faces("o.jpg"), header=replace(HEADER, **change))
        with pytest.raises(ModelMismatch, match=words):
            merge(MergeConfig(stores=(whole, other), out=tmp_path / "out.h5"))
    assert not (tmp_path / "out.h5").exists()


def test_no_rows_are_lost_by_mistake(invoke: Cosface, tmp_path: Path, whole: Path) -> None:
    other = store(tmp_path / "other.h5", faces("o.jpg"))
    before = other.read_bytes()
    done = invoke("embed", "merge", whole, other)  # the new store was forgotten
    assert done.code == 2 and "this file exists" in done.err and other.read_bytes() == before
    assert invoke("embed", "merge", whole).code == 2
    assert invoke("embed", "merge", other, whole, other).code == 0, "said twice, it is meant"
    assert len(listed(other)) == 21
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    for words in (("split", whole, full, "--by", "2"), ("split", whole, other, "--by", "2")):
        refused = invoke("embed", *words)
        assert refused.code == 2 and "this exists and is not an empty folder" in refused.err, refused
    for by in ("0", "-1", "identities", "²"):
        with pytest.raises(CosfaceError, match="--by"):
            split(SplitConfig(store=whole, folder=tmp_path / "parts", by=by))
    whole.with_name(".whole.h5.journal").write_bytes(b"x")
    for words in (("split", whole, tmp_path / "p", "--by", "2"), ("merge", whole, tmp_path / "m.h5")):
        refused = invoke("embed", *words)
        assert refused.code == 2 and "has not ended" in refused.err and "whole.h5" in refused.err


def test_a_split_that_fails_leaves_nothing(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> int:
        if "part-02" in str(arguments[0]):
            raise OSError(28, "No space left on device")
        return write_store(*arguments)

    monkeypatch.setattr("cosface_cli.embed.store_split.write_store", full)
    with pytest.raises(CosfaceError, match="the disk is full"):
        split(SplitConfig(store=whole, folder=tmp_path / "parts", by="3"))
    assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]
    monkeypatch.undo()
    left = tmp_path / ".parts.part"  # of a run that was killed
    left.mkdir()
    (left / "old.h5").touch()
    (tmp_path / "parts").mkdir()
    split(SplitConfig(store=whole, folder=tmp_path / "parts", by="3"))
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [f"part-0{n}.h5" for n in (1, 2, 3)]
    assert not left.exists()


def test_empty_stores(tmp_path: Path) -> None:
    empty = store(tmp_path / "empty.h5", rejects=(reject("x.jpg"),))
    assert info(InfoConfig(store=empty)).rows == 0 and info(InfoConfig(store=empty)).rejects == {"no_face": 1}
    (report,) = split(SplitConfig(store=empty, folder=tmp_path / "parts", by="4"))
    assert (report.rows, report.rejects) == (0, 1)
    assert merge(MergeConfig(stores=(empty, empty), out=tmp_path / "out.h5")).rejects == 1
    assert (tmp_path / "out.h5").read_bytes() == empty.read_bytes()


def test_memory_does_not_grow_with_the_vectors(tmp_path: Path) -> None:
    wide = replace(HEADER, size=512)
    vector = np.zeros(512, np.float32)
    vector[0] = 1
    rows = [(faces(f"{n // 10}/{n}.jpg")[0][0], vector) for n in range(6000)]  # 12 MB of vectors
    path = store(tmp_path / "s.h5", rows, header=wide)
    del rows
    tracemalloc.start()
    split(SplitConfig(store=path, folder=tmp_path / "parts", by="3"))
    merge(MergeConfig(stores=tuple(sorted((tmp_path / "parts").iterdir())), out=tmp_path / "out.h5"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6 and (tmp_path / "out.h5").read_bytes() == path.read_bytes()


def test_rejects_without_a_source_are_damage(tmp_path: Path) -> None:
    odd = store(tmp_path / "odd.h5", faces("a.jpg"), rejects=({"reason": "no_face"},))
    assert info(InfoConfig(store=odd)).rejects == {"no_face": 1}
    with pytest.raises(DamagedError, match=r"a reject has no source"):
        merge(MergeConfig(stores=(odd,), out=tmp_path / "out.h5"))
