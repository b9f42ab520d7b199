"""What building an index refuses, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.errors import BusyError, CosfaceError, ModelMismatch
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.outcomes import Note, Outcome, Rejected
from tests.index.built import files, held, made, same, stands
from tests.index.stores import HEADER, row, store, vectors


@pytest.mark.parametrize("what", ("model_id", "template", "flip", "size"))
def test_another_kind_is_refused_by_name(tmp_path: Path, what: str) -> None:
    other = replace(HEADER, **{what: 16 if what == "size" else "sum" if what == "flip" else "other"})
    a, b = store(tmp_path / "a.h5", range(20)), store(tmp_path / "b.h5", range(20), header=other)
    made(tmp_path / "i", a)
    before = files(tmp_path / "i")
    for add in (False, True):
        with pytest.raises(ModelMismatch) as caught:
            made(tmp_path / "i", b, add=add)
        assert str(b) in str(caught.value) and str(tmp_path / "i") in str(caught.value)
    with pytest.raises(ModelMismatch):
        made(tmp_path / "j", a, b)
    assert files(tmp_path / "i") == before
    assert made(tmp_path / "i", b, fresh=True).rows == 20 and read_header(tmp_path / "i").size == other.size


def test_a_store_that_is_being_filled_is_refused(tmp_path: Path) -> None:
    journal_of(store(tmp_path / "s.h5", range(20))).write_bytes(b"x")
    with pytest.raises(CosfaceError, match="has not ended"):
        made(tmp_path / "i", tmp_path / "s.h5")
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    (
        ({"engine": "fais"}, "did you mean 'faiss'"),
        ({"search": "sq9"}, "did you mean 'sq8'"),
        ({"recall": 0.0}, "--recall must be above 0 and at most 1, got 0"),
        ({"recall": 1.5}, "--recall must be above 0 and at most 1, got 1.5"),
        ({"engine": "milvus"}, "--engine milvus needs --uri"),
        ({"uri": "http://localhost:1"}, "--uri has no effect with --engine faiss"),
        ({"search": "milvus"}, "choose one of auto, flat, sq8, pq"),
        ({"search": "flat", "recall": 0.9}, "--recall has no effect"),
    ),
)
def test_wrong_options_are_one_line(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(CosfaceError, match=words):
        made(tmp_path / "i", store(tmp_path / "s.h5", range(5)), **options)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    (tmp_path / "s").mkdir()
    with pytest.raises(CosfaceError, match="has other content"):
        made(tmp_path, store(tmp_path / "s" / "s.h5", range(5)))
    made(tmp_path / "i", tmp_path / "s" / "s.h5")
    (tmp_path / "i" / "people.jsonl").write_text("names\n")
    made(tmp_path / "i", store(tmp_path / "s" / "s.h5", range(9)))
    assert (tmp_path / "i" / "people.jsonl").read_text() == "names\n", "what lies beside it is carried along"


def test_two_writers(tmp_path: Path) -> None:
    store(tmp_path / "s.h5", range(20))
    made(tmp_path / "i", tmp_path / "s.h5")
    before = files(tmp_path / "i")
    with atomic.lock(tmp_path / "i" / MAIN), pytest.raises(BusyError, match="another cosface is writing"):
        made(tmp_path / "i", store(tmp_path / "s.h5", range(30)))
    assert files(tmp_path / "i") == before


def test_a_damaged_index_is_built_anew_and_not_added_to(tmp_path: Path) -> None:
    store(tmp_path / "s.h5", range(20))
    made(tmp_path / "i", tmp_path / "s.h5")
    name = read_header(tmp_path / "i").segments[0].vectors
    (tmp_path / "i" / name).write_bytes(b"short")
    with pytest.raises(CosfaceError, match="bytes, expected"):
        made(tmp_path / "i", tmp_path / "s.h5", add=True)
    notes: list[Outcome] = []
    assert made(tmp_path / "i", tmp_path / "s.h5", emit=notes.append).added == 20
    assert any(isinstance(n, Note) and "built again from all rows" in n.text for n in notes)
    assert same(held(tmp_path / "i"), stands(tmp_path / "s.h5"))


def test_rows_of_no_use_are_rejected_by_name(tmp_path: Path) -> None:
    store(tmp_path / "s.h5", range(50))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["embeddings"][3] *= 2
        file["embeddings"][4] = np.nan
        file["embeddings"][5] = np.inf
        file["embeddings"][6] = 0
    told: list[Outcome] = []
    assert made(tmp_path / "i", tmp_path / "s.h5", emit=told.append).rows == 46
    rejected = [outcome for outcome in told if isinstance(outcome, Rejected)]
    assert [r.source for r in rejected] == [row(n).source for n in (3, 4, 5, 6)]
    assert all(str(tmp_path / "s.h5") in r.words and "embed it again" in r.words for r in rejected)


def test_vectors_of_any_length_would_not_find_themselves(tmp_path: Path) -> None:
    """What the refusal is for: by inner product a long vector wins everywhere."""
    found = vectors(100) * np.linspace(0.2, 5, 100)[:, None].astype(np.float32)
    assert ((found @ found.T).argmax(1) == np.arange(100)).sum() < 100
    store(tmp_path / "s.h5", range(100))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["embeddings"][:] = found
    report = made(tmp_path / "i", tmp_path / "s.h5")
    assert report.rows == 0 and len(Gallery(tmp_path / "i")) == 0
