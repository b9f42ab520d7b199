"""Moving an index to another model by a linear map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group

from cosface_cli.artifacts.index.index_folder import read_header
from cosface_cli.artifacts.index.people_file import read_people
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index import AddConfig, BuildConfig
from cosface_cli.index.people import ClusterConfig
from cosface_cli.index.people.names.edits import label
from cosface_cli.index.people.stage import cluster
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add, build
from cosface_cli.index.upkeep import CheckConfig, MergeConfig, MigrateConfig
from cosface_cli.index.upkeep.stage import check, merge, migrate
from cosface_cli.outcomes import Note, Outcome
from tests.index.stores import HEADER, row, store, vectors

WRONG: tuple[tuple[dict, str], ...] = (
    ({"search": "milvus"}, "choose one of auto, flat, sq8, pq"),
    ({"recall": 7.0}, "--recall must be above 0 and at most 1, got 7"),
    ({"search": "flat", "recall": 0.5}, "--recall has no effect"),
)


def test_names_come_along(tmp_path: Path) -> None:
    old, new, _ = pair_of_stores(tmp_path, 0.0)
    build(BuildConfig(stores=(old,), index=tmp_path / "i"))
    cluster(ClusterConfig(index=tmp_path / "i", min_cos=0.5))
    label(tmp_path / "i", "3", "Ann")
    want = read_people(tmp_path / "i")
    migrate(MigrateConfig(index=tmp_path / "i", old=old, new=new, out=tmp_path / "j"))
    merge(MergeConfig(indexes=(tmp_path / "i",), out=tmp_path / "k"))
    assert want.persons[3].name == "Ann" and len(want.persons) > 10
    assert read_people(tmp_path / "j") == read_people(tmp_path / "k") == want
    told: list[Outcome] = []
    merge(MergeConfig(indexes=(tmp_path / "i", tmp_path / "k"), out=tmp_path / "l"), told.append)
    assert [one for one in told if isinstance(one, Note) and "Ann is joined with Ann" in one.text]


NEW = replace(HEADER, model="newer", model_id="newer-1", size=24)


def pair_of_stores(tmp_path: Path, noise: float) -> tuple[Path, Path, np.ndarray]:
    """The same 800 faces by the old model and by a new one: a turned and cut copy of it, with noise."""
    from cosface_cli.artifacts.store.store_file import write_store

    found = vectors(800).astype(np.float64)
    turn = ortho_group.rvs(32, random_state=3)[:, :24]
    new = found @ turn + noise * np.random.default_rng(1).normal(size=(800, 24))
    new = (new / np.linalg.norm(new, axis=1, keepdims=True)).astype(np.float32)
    rows = [row(n) for n in range(800)]
    order = np.random.default_rng(2).permutation(800)
    write_store(tmp_path / "new.h5", NEW, ((rows[n], new[n]) for n in order), [])
    return store(tmp_path / "old.h5", range(800), rows=rows, seed=0, most=800), tmp_path / "new.h5", new


def test_migrate(tmp_path: Path) -> None:
    old, new, want = pair_of_stores(tmp_path, 0.0)
    build(BuildConfig(stores=(old,), index=tmp_path / "i"))
    report = migrate(MigrateConfig(index=tmp_path / "i", old=old, new=new, out=tmp_path / "j"))
    assert report.cos > 0.999 and report.rank1 == report.rank1_new and report.rank1_old >= report.rank1
    assert (report.fitted, report.held_out, report.rows) == (480, 160, 800)
    header = read_header(tmp_path / "j")
    assert (header.model_id, header.size, header.rows) == ("newer-1", 24, 800)
    assert header.mapped["model_id"] == HEADER.model_id and header.mapped["cos"] == report.cos
    gallery = Gallery(tmp_path / "j")
    assert (gallery.vectors(np.arange(800)) * want).sum(1).min() > 0.99
    assert (gallery.search(want, 1)[1][:, 0] == np.arange(800)).all() and check(CheckConfig(index=tmp_path / "j")).ok
    # rows that the new model embeds itself take the place of mapped ones
    added = add(AddConfig(stores=(new,), index=tmp_path / "j"))
    assert (added.rows, added.added, added.removed) == (800, 800, 800)
    with Store(new) as held:
        assert (Gallery(tmp_path / "j").vectors(np.arange(800)) == held.vectors(0, 800)).all()
    build(BuildConfig(stores=(new,), index=tmp_path / "j"))
    assert read_header(tmp_path / "j").mapped is None and check(CheckConfig(index=tmp_path / "j")).ok


def test_what_a_migration_costs_is_measured_on_other_people(tmp_path: Path) -> None:
    """With noise that no map can know; counted again here over all people."""
    old, new, want = pair_of_stores(tmp_path, 0.12)
    build(BuildConfig(stores=(old,), index=tmp_path / "i"))
    report = migrate(MigrateConfig(index=tmp_path / "i", old=old, new=new, out=tmp_path / "j"))
    moved = Gallery(tmp_path / "j").vectors(np.arange(800))
    everywhere = float((moved * want).sum(1).mean())
    assert 0.7 < report.cos < 0.95 and abs(report.cos - everywhere) < 0.03
    assert report.cos < everywhere, "people that the map was learned on are nearer: they are not counted"
    assert report.rank1_new is not None and report.rank1 is not None and report.rank1_new > 0.5


def test_migrations_that_cannot_be(tmp_path: Path) -> None:
    old, new, _ = pair_of_stores(tmp_path, 0.0)
    build(BuildConfig(stores=(old,), index=tmp_path / "i"))
    for change, words in WRONG:
        with pytest.raises(CosfaceError, match=words):
            migrate(MigrateConfig(index=tmp_path / "i", old=old, new=new, out=tmp_path / "j", **change))
    with pytest.raises(ModelMismatch, match="newer"):
        migrate(MigrateConfig(index=tmp_path / "i", old=new, new=old, out=tmp_path / "j"))
    with pytest.raises(CosfaceError, match="of one model"):
        migrate(MigrateConfig(index=tmp_path / "i", old=old, new=old, out=tmp_path / "j"))
    few = store(tmp_path / "few.h5", range(8), header=NEW)
    with pytest.raises(CosfaceError, match="only 8 faces of 2 people"):
        migrate(MigrateConfig(index=tmp_path / "i", old=old, new=few, out=tmp_path / "j"))
    assert not (tmp_path / "j").exists()
    migrate(MigrateConfig(index=tmp_path / "i", old=old, new=new, out=tmp_path / "j"))
    with pytest.raises(CosfaceError, match="already mapped from another model"):
        migrate(MigrateConfig(index=tmp_path / "j", old=new, new=old, out=tmp_path / "k"))
