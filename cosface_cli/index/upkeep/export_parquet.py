"""An index as a Parquet table, written block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cosface_cli.artifacts.store.face_rows import encode
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.upkeep.export_rows import FIELDS, NUMBERS, export_blocks, field_values

_INTEGERS = ("id", "face", "size", "mtime_ns")


def write_parquet(gallery: Gallery, path: Path, vectors: bool) -> None:
    """FIELDS, and `embedding`: a list of D float32. Text is UTF-8; other bytes of a name become escapes."""
    size = gallery.header.size
    columns = [pa.field(name, _type(name)) for name in FIELDS]
    schema = pa.schema([*columns, pa.field("embedding", pa.list_(pa.float32(), size))])
    schema = schema.with_metadata({"model": gallery.header.model, "model_id": gallery.header.model_id})
    with pq.ParquetWriter(str(path), schema) as writer:
        for ids, rows, block in export_blocks(gallery):
            by_field = zip(*(field_values(n, row) for n, row in zip(ids, rows, strict=True)), strict=True)
            arrays = [
                pa.array(map(_text, of_field), column.type) for of_field, column in zip(by_field, columns, strict=True)
            ]
            embedding = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), size)
            writer.write_table(pa.Table.from_arrays([*arrays, embedding], schema=schema))


def _type(name: str) -> Any:
    return pa.string() if name not in NUMBERS else pa.int64() if name in _INTEGERS else pa.float64()


def _text(value: object) -> object:
    return encode(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value
