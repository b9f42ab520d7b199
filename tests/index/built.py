"""Building an index in one call, and reading it back without our search."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosface_cli.artifacts.index.index_folder import check_sums
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.index import AddConfig, BuildConfig, BuildReport
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add as add_rows
from cosface_cli.index.stage import build


def made(root: Path, *stores: Path, emit=lambda outcome: None, add: bool = False, **options) -> BuildReport:
    if add:
        return add_rows(AddConfig(stores=stores, index=root, **options), emit)
    return build(BuildConfig(stores=stores, index=root, **options), emit)


def held(root: Path) -> dict[str, np.ndarray]:
    """By source, the vector that the index has; each row finds itself."""
    gallery = Gallery(root, exact=True)
    found = gallery.vectors(np.arange(len(gallery)))
    sources = [r.source for r in gallery.rows()]
    if len(gallery):
        cosines, numbers = gallery.search(found, 1)
        assert (found[numbers[:, 0]] == found).all() and (cosines[:, 0] > 0.999999).all()
    assert not check_sums(root, gallery.header)
    return dict(zip(sources, found, strict=True))


def stands(path: Path) -> dict[str, np.ndarray]:
    with Store(path) as opened:
        return {r.source: vector for r, vector in opened.pairs()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return set(one) == set(other) and all((one[name] == other[name]).all() for name in one)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}
