"""Search on a Milvus server: each segment is a collection there; the index folder holds the vectors and their rows.

The server proposes ids; the cosines are computed from the vectors in the folder, as with every engine. The access token
is read from MILVUS_TOKEN and never written.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient, MilvusException

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.engines.search import RECALL, PreparedSearch, Search
from cosface_cli.engines.search.flat import SPARE
from cosface_cli.engines.search.recall import Sample
from cosface_cli.errors import CosfaceError

NAME = "milvus.id"  # in the index folder: an id by which its collections differ from those of other folders
_NUMBERS = 1 << 20  # of vectors sent at a time
_PROBES = 1000  # probes sent at a time
_MAX_HITS = 16384  # hits that a server returns at most
_SECONDS = 30.0
_VECTOR = "vector"


class Milvus(Search):
    """See Search."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None, recall: float = RECALL) -> PreparedSearch:
        """Fill a collection and measure its recall. One of the same name, left by an interrupted run, is replaced."""
        name = f"cosface_{_folder_id(part.parent)}_{file_sha256(vectors.path)[:16]}"
        with _one_line_errors(uri):
            client = _client(str(uri))
            client.drop_collection(name)
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=vectors.size)
            client.create_collection(name, schema=schema)
            step = max(1, _NUMBERS // vectors.size)
            for low in range(0, len(vectors), step):
                block = vectors.block(low, min(low + step, len(vectors)))
                client.insert(name, [{"id": low + i, _VECTOR: row} for i, row in enumerate(block.tolist())])
            client.flush(name)
            index = client.prepare_index_params()
            index.add_index(_VECTOR, index_type="AUTOINDEX", metric_type="IP")
            client.create_index(name, index)
            client.load_collection(name)
            sample = Sample(vectors)
            measured = round(sample.recall(MilvusSearcher(vectors, name, str(uri))), 4)
        return PreparedSearch(
            collection=name, settings={"recall": measured, "recall_of": len(sample), "recall_wanted": recall}
        )

    def open(
        self, vectors: VectorFile, lists: str | None, uri: str | None, settings: Mapping[str, object]
    ) -> MilvusSearcher:
        """See Search.open. Raises CosfaceError where the server or the collection does not exist."""
        with _one_line_errors(uri):
            if not _client(str(uri)).has_collection(str(lists)):
                raise CosfaceError(f"there is no collection {lists}", uri, "build the index again")
        return MilvusSearcher(vectors, str(lists), str(uri))

    def sweep(self, folder: Path, uri: str, named: Iterable[str]) -> None:
        """See Search.sweep."""
        current = set(named)
        with _one_line_errors(uri):
            client = _client(uri)
            for name in client.list_collections():
                if name.startswith(f"cosface_{_folder_id(folder)}_") and name not in current:
                    client.drop_collection(name)


class MilvusSearcher:
    """See Searcher."""

    def __init__(self, vectors: VectorFile, collection: str, uri: str) -> None:
        self._count, self._collection, self._uri = len(vectors), collection, uri

    def propose(self, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """See Searcher.propose."""
        wide = min(k + SPARE, self._count)
        out = np.full((len(probes), wide), -1, np.int64)
        for low in range(0, len(probes) if wide else 0, _PROBES):
            with _one_line_errors(self._uri):
                answers = _client(self._uri).search(
                    self._collection,
                    data=probes[low : low + _PROBES].tolist(),
                    limit=min(wide, _MAX_HITS),
                    anns_field=_VECTOR,
                    search_params={"metric_type": "IP"},
                    output_fields=["id"],
                    consistency_level="Strong",
                )
            for row, hits in enumerate(answers, low):
                ids = [int(hit["id"]) for hit in hits]
                if ids and not 0 <= min(ids) <= max(ids) < self._count:
                    raise CosfaceError(f"{self._collection} holds other rows", self._uri, "build the index again")
                out[row, : len(ids)] = ids
        return out


@lru_cache(maxsize=4)
def _client(uri: str) -> Any:
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # errors are raised, in one line
    return MilvusClient(uri=uri, token=os.environ.get("MILVUS_TOKEN", ""), timeout=_SECONDS)


@contextmanager
def _one_line_errors(uri: str | None) -> Iterator[None]:
    try:
        yield
    except MilvusException as error:
        words = str(error.message or error).split("\n")[0]
        raise CosfaceError(f"the Milvus server says: {words}", uri, "check that it runs, and MILVUS_TOKEN") from error


def _folder_id(folder: Path) -> str:
    path = folder / NAME
    if not path.is_file():
        atomic.write_text(path, secrets.token_hex(8) + "\n")
    return path.read_text().strip()


MILVUS = Milvus()
