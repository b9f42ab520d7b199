"""Damaged and hostile index files: an error of one line, or a right answer."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.index.index_folder import read_header
from cosface_cli.errors import CosfaceError
from cosface_cli.index import BuildConfig
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import build
from tests.index.stores import row, store

pytestmark = pytest.mark.slow


def test_hostile_indexes_are_refused_or_searched(tmp_path: Path) -> None:
    """Bytes of every file changed, cut off, doubled or taken from another file: an error of one line, or an answer that
    names rows of the index; never a crash, and no memory that only a file declares."""
    import resource

    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(1200)),), index=tmp_path / "i", search="sq8"))
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(1210)),), index=tmp_path / "i"))
    probes = Gallery(tmp_path / "i").vectors(np.arange(0, 1200, 60))
    names = {row(n).source for n in range(1210)}
    contents = {p: p.read_bytes() for p in (tmp_path / "i").iterdir()}
    rng = random.Random(0)
    Gallery(tmp_path / "i").search(probes, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(250):
        path = rng.choice(sorted(contents))
        content = bytearray(contents[path])
        match rng.randrange(5):
            case 0:
                content = content[: rng.randrange(len(content))]
            case 1:
                at = rng.randrange(len(content))
                content[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), (1 << 62).to_bytes(8, "little")))
            case 2:
                content = bytearray(contents[rng.choice(sorted(contents))])
            case 3:
                for _ in range(4):
                    content[rng.randrange(min(len(content), 4096))] = rng.randrange(256)
            case 4:
                content = content + contents[path]
        path.write_bytes(content)
        try:
            gallery = Gallery(tmp_path / "i")
            cosines, numbers = gallery.search(probes, 3)
            assert numbers.max() < 1210 and cosines.shape == (20, 3)
            found = [gallery.row(int(number)) for number in numbers.ravel()]
            _ = [r.source in names for r in found]
        except CosfaceError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
        path.write_bytes(contents[path])
    assert refused > 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert read_header(tmp_path / "i").rows == 1210
