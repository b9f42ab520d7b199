"""The Milvus engine against a server on loopback: Milvus Lite's, which speaks Milvus's protocol."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.index.index_folder import read_header
from cosface_cli.errors import CosfaceError
from cosface_cli.index import AddConfig, BuildConfig, BuildReport
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add, build
from cosface_cli.index.upkeep import CheckConfig, MergeConfig
from cosface_cli.index.upkeep.stage import check, merge
from tests.conftest import Cosface
from tests.index.stores import row, store, vectors

pytestmark = pytest.mark.slow

pymilvus = pytest.importorskip("pymilvus")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own, on a free port."""
    program = shutil.which("milvus-lite") or str(Path(sys.executable).parent / "milvus-lite")
    if not Path(program).is_file():
        pytest.skip("needs the package milvus-lite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path_factory.mktemp("milvus")
    words = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "the server has ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def made(root: Path, uri: str, *stores: Path, **options) -> BuildReport:
    return build(BuildConfig(stores=stores, index=root, engine="milvus", uri=uri, **options))


def collections(uri: str) -> set[str]:
    return set(pymilvus.MilvusClient(uri=uri).list_collections())


def test_it_finds_what_exact_search_finds(uri: str, tmp_path: Path) -> None:
    report = made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(1500)))
    assert (report.engine, report.search, report.rows) == ("milvus", "milvus", 1500) and report.recall > 0.95
    probes = vectors(300, seed=8)[:100]
    cosines, numbers = Gallery(tmp_path / "i").search(probes, 5)
    exact, want = Gallery(tmp_path / "i", exact=True).search(probes, 5)
    assert (numbers == want).mean() > 0.99
    np.testing.assert_allclose(cosines[numbers == want], exact[numbers == want], atol=0)
    batches = [Gallery(tmp_path / "i").search(probes[n : n + 1], 5)[1] for n in range(10)]
    np.testing.assert_array_equal(np.concatenate(batches), numbers[:10])
    assert Gallery(tmp_path / "i").search(probes[:1], 5000)[1].shape == (1, 1500), "k beyond the gallery"
    assert check(CheckConfig(index=tmp_path / "i", rows=200)).ok


def test_a_grown_store_a_smaller_one_and_collections_that_go(uri: str, tmp_path: Path) -> None:
    before = collections(uri)
    made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(300)))
    first = {segment.lists for segment in read_header(tmp_path / "i").segments}
    report = made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(320)))
    assert report.added == 20 and first < {segment.lists for segment in read_header(tmp_path / "i").segments}
    added = add(AddConfig(stores=(store(tmp_path / "t.h5", range(320, 330)),), index=tmp_path / "i"))
    assert added.rows == 330 and added.engine == "milvus"
    made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(100, 200)))
    now = {segment.lists for segment in read_header(tmp_path / "i").segments}
    assert collections(uri) - before == now and len(now) == 1
    gallery = Gallery(tmp_path / "i")
    assert (gallery.search(gallery.vectors(np.arange(100)), 1)[1][:, 0] == np.arange(100)).all()
    merge(MergeConfig(indexes=(tmp_path / "i",), out=tmp_path / "m"))
    assert read_header(tmp_path / "m").engine == "faiss" and len(Gallery(tmp_path / "m")) == 100
    build(BuildConfig(stores=(tmp_path / "s.h5",), index=tmp_path / "i"))
    assert collections(uri) == before, "an index that moves to FAISS leaves nothing on the server"


def test_two_indexes_of_the_same_rows_do_not_share(uri: str, tmp_path: Path) -> None:
    store(tmp_path / "s.h5", range(50))
    made(tmp_path / "i", uri, tmp_path / "s.h5")
    made(tmp_path / "j", uri, tmp_path / "s.h5")
    build(BuildConfig(stores=(tmp_path / "s.h5",), index=tmp_path / "i"))
    gallery = Gallery(tmp_path / "j")
    assert (gallery.search(gallery.vectors(np.arange(50)), 1)[1][:, 0] == np.arange(50)).all()


def test_who_is_forgotten_is_not_on_the_server(uri: str, tmp_path: Path) -> None:
    made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(200)))
    assert forget(ForgetConfig(index=tmp_path / "i", identity="person0007", yes=True)).index_rows == 4
    (segment,) = read_header(tmp_path / "i").segments
    client = pymilvus.MilvusClient(uri=uri)
    held = client.query(segment.lists, filter="id >= 0", output_fields=["vector"], limit=1000)
    assert len(held) == 196
    gone = vectors(4000)[28:32]
    assert max(float(np.abs(gone @ np.array(one["vector"], np.float32)).max()) for one in held) < 0.99
    assert row(28).source not in {r.source for r in Gallery(tmp_path / "i").rows()}


def test_a_server_that_is_away_or_lost_its_collection(uri: str, tmp_path: Path, cosface: Cosface) -> None:
    made(tmp_path / "i", uri, store(tmp_path / "s.h5", range(50)))
    client = pymilvus.MilvusClient(uri=uri)
    client.drop_collection(read_header(tmp_path / "i").segments[0].lists)
    with pytest.raises(CosfaceError, match="there is no collection"):
        Gallery(tmp_path / "i")
    main = tmp_path / "i" / "index.json"
    main.write_text(main.read_text().replace(uri, "http://127.0.0.1:1"))
    done = cosface("index", "search", tmp_path / "i", tmp_path / "s.h5")
    assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and "127.0.0.1:1" in done.err, done
