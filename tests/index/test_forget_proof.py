"""The proof of forgetting: every trace is found, wherever it is, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.files.atomic import partial
from cosface_cli.artifacts.files.byte_search import Needles
from cosface_cli.artifacts.index.index_folder import read_header
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import write_store
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.errors import CosfaceError
from cosface_cli.index import BuildConfig
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.plan import make_plan
from cosface_cli.index.forget.proof import search_for_traces
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import build
from tests.index.crop_people import EACH, PEOPLE, digest, run, traces
from tests.index.stores import HEADER, vectors


def test_traces_that_are_left_are_found(home: Path) -> None:
    """Bytes in a file that nobody knew of: it is named, there is no receipt, and the next run ends it."""
    hidden = home / "faces.h5.broken"
    hidden.write_bytes(b"x" * 1001 + vectors(PEOPLE * EACH)[7].tobytes()[20:90] + b"y" * 99)
    page = home / "people.index" / "notes.txt"
    page.write_text("see P01 Müller/2.jpg")
    report = run(home, identity="P01 Müller")
    assert not report.done and set(report.remains) == {str(hidden), str(page)} and report.receipt is None
    with pytest.raises(CosfaceError, match="is unfinished"):
        build(BuildConfig(stores=(home / "faces.h5",), index=home / "people.index"))
    hidden.unlink(), page.unlink()
    assert run(home).done and traces(home, "P01 Müller", range(5, 10)) == []


@pytest.mark.parametrize(
    "trace",
    (vectors(PEOPLE * EACH)[7].tobytes()[20:90], "P01 Müller/2.jpg".encode()),
    ids=("embedding", "name"),
)
@pytest.mark.parametrize("name", (".faces.h5.part", ".faces.h5.journal", "faces.h5.broken", "faces.h5.broken.2"))
def test_files_beside_a_store_are_searched(home: Path, name: str, trace: bytes) -> None:
    """An unfinished copy of the store, its journal, and what was set aside: each can hold rows of the person."""
    store = home / "faces.h5"
    assert {partial(store).name, journal_of(store).name} == {".faces.h5.part", ".faces.h5.journal"}
    config = ForgetConfig(index=home / "people.index", identity="P01 Müller")
    plan = make_plan(config, read_header(config.index), [store])
    path = home / name
    path.write_bytes(b"x" * 1001 + trace + b"y" * 99)
    assert str(path) in search_for_traces(config.index, plan).remains
    path.write_bytes(b"x" * 1001 + trace[::-1] + b"y" * 99)
    assert str(path) not in search_for_traces(config.index, plan).remains


@pytest.mark.parametrize("name", (".vectors.part", ".rows.part", ".packed.part", ".lists.part"))
def test_unfinished_segments_are_searched(home: Path, name: str) -> None:
    config = ForgetConfig(index=home / "people.index", identity="P01 Müller")
    plan = make_plan(config, read_header(config.index), [home / "faces.h5"])
    path = config.index / name
    path.write_bytes(b"x" * 1001 + vectors(PEOPLE * EACH)[9].tobytes() + b"y" * 99)
    assert str(path) in search_for_traces(config.index, plan).remains


def test_names_inside_other_names_are_no_trace(tmp_path: Path) -> None:
    rows = []
    for name in ("a/1.jpg", "aa/1.jpg", "x/a/1.jpg.jpg", "b/photo of a 1.jpg", "a/1.jpg2/x.jpg"):
        person = name.split("/")[0]
        rows.append(
            FaceRow(
                source=name,
                identity=person,
                root="/p",
                settings="s",
                face=1,
                box=(0.0,) * 4,
                score=0.5,
                sharpness=1.0,
                hash=digest(name.encode()),
                size=1,
                mtime_ns=1,
            )
        )
    write_store(tmp_path / "s.h5", HEADER, zip(rows, vectors(5), strict=True), [])
    build(BuildConfig(stores=(tmp_path / "s.h5",), index=tmp_path / "i"))
    report = forget(ForgetConfig(index=tmp_path / "i", source="a/1.jpg", yes=True))
    assert report.done and report.index_rows == 1
    assert [row.source for row in Gallery(tmp_path / "i").rows()] == [row.source for row in rows[1:]]


def test_needles_are_found_at_every_offset(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = bytearray(rng.bytes((1 << 22) + 5000))
    needles = [rng.bytes(int(n)) for n in rng.integers(8, 60, 40)]
    for needle, at in zip(
        needles[:20], [0, 101, (1 << 22) - 77, (1 << 22) - 9, *range(5000, 5000 + 16 * 61, 61)], strict=True
    ):
        content[at : at + len(needle)] = needle
    content[-len(needles[20]) :] = needles[20]
    (tmp_path / "hay").write_bytes(content)
    found = Needles(needles).in_file(tmp_path / "hay")
    assert found == {needle for needle in needles if needle in content}
    assert len(found) >= 20
    with pytest.raises(ValueError):
        Needles([b"short"])
