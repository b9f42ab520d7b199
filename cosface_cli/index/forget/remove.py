"""Taking out what a plan names: of the index, of stores, of crop folders. Done twice it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, REJECTS, crop_record, line, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.store.face_rows import Columns, Row
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.index.forget.plan import Plan, Wanted
from cosface_cli.index.segments import BLOCK, How, Writer, changed, settled
from cosface_cli.outcomes import OnOutcome

PAGE = "report.html"  # shows the crops of a folder


def from_index(root: Path, header: IndexHeader, wanted: Wanted, emit: OnOutcome) -> None:
    """Write the segments that hold such rows anew without them; their lists are trained anew as well. The caller holds
    the lock."""
    masks = []
    for segment in header.segments:
        rows = IndexRows(root / segment.names, segment.rows)
        parts = [~wanted.mask(rows.columns(low, min(low + BLOCK, len(rows)))) for low in range(0, len(rows), BLOCK)]
        masks.append(np.concatenate(parts))
    if any(not mask.all() for mask in masks):
        writer = Writer(root, header.size, How(uri=header.uri), header.next_id, emit)
        changed(writer, header, masks, lambda: iter(()), 0)
        settled(root, writer.header(header))


def from_store(path: Path, plan: Plan, wanted: Wanted) -> None:
    """Write a store anew without such rows, and without the rejects of these people and photos."""
    with atomic.lock(path), Store(path) as store:
        rejects = [reject for reject in store.rejects() if not _is_of(plan, reject)]
        masks = [~wanted.mask(store.columns(low, high)) for low, high in _blocks(store)]
        if all(mask.all() for mask in masks) and len(rejects) == len(store.rejects()):
            return

        def kept() -> Iterator[tuple[Row, NDArray[np.float32]]]:
            for (low, high), mask in zip(_blocks(store), masks, strict=True):
                columns: Columns = store.columns(low, high).kept(mask)
                yield from zip(columns.rows(), store.vectors(low, high)[mask], strict=True)

        write_store(path, store.header, kept(), rejects)


def from_crops(folder: Path, plan: Plan) -> None:
    """Take crops out of a crop folder, and their lines; a photo that keeps other faces keeps their lines, counted anew.

    The page of the folder shows crops, so it goes too.
    """
    crops, photos = set(plan.crops.get(str(folder), ())), set(plan.photos.get(str(folder), ()))
    with atomic.lock(folder / MANIFEST):
        if any(values.get("crop") in crops for values in read_lines(folder / MANIFEST)):
            _rewrite(folder / MANIFEST, _lines_left(folder / MANIFEST, crops))
        if any(_is_rejected(plan, photos, values) for values in read_lines(folder / REJECTS)):
            rejects = (values for values in read_lines(folder / REJECTS) if not _is_rejected(plan, photos, values))
            _rewrite(folder / REJECTS, map(line, rejects))
        for name in sorted(crops):
            for path in (folder / name, atomic.partial(folder / name)):
                path.unlink(missing_ok=True)
                with suppress(OSError):  # other crops are in it
                    while path.parent != folder:
                        path = path.parent
                        path.rmdir()
        (folder / PAGE).unlink(missing_ok=True)


def _lines_left(manifest: Path, crops: set[str]) -> Iterator[str]:
    # of a photo that was done again only the last lines hold, but all of them are its lines
    for _, lines in groupby(read_lines(manifest), key=lambda values: values.get("source")):
        own = list(lines)
        left = [values for values in own if values.get("crop") not in crops]
        if len(left) == len(own):
            yield from map(line, left)
            continue
        for face, values in enumerate(left, 1):
            crop_record(values, manifest)
            yield line({**values, "face": face, "faces": len(left)})


def _rewrite(path: Path, lines: Iterator[str]) -> None:
    with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def _is_rejected(plan: Plan, photos: set[str], values: dict[str, Any]) -> bool:
    source = str(values.get("source"))
    return source in photos or source.partition("/")[0] in plan.identities


def _is_of(plan: Plan, reject: dict[str, Any]) -> bool:
    source = str(reject.get("source"))
    known = (str(reject.get("root")), source) in plan.sources
    return known or source.partition("/")[0] in plan.identities


def _blocks(store: Store) -> list[tuple[int, int]]:
    return [(low, min(low + BLOCK, len(store))) for low in range(0, len(store), BLOCK)]
