"""Removing the rows and crops of a plan from the index, from stores and from crop folders. A second run changes
nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, REJECTS, crop_record, line, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.index.build.search_choice import SearchChoice
from cosface_cli.index.build.segments import BLOCK, SegmentWriter, publish_segments, write_changes
from cosface_cli.index.forget.plan import Plan
from cosface_cli.index.forget.selection import Selection
from cosface_cli.outcomes import OnOutcome

REPORT_PAGE = "report.html"  # the contact sheet of a crop folder


def remove_from_index(root: Path, header: IndexHeader, selection: Selection, emit: OnOutcome) -> None:
    """Rewrite the segments with selected rows without these rows, and train their search again. The caller holds the
    index's lock."""
    masks = []
    for segment in header.segments:
        rows = IndexRows(root / segment.names, segment.rows)
        starts = range(0, len(rows), BLOCK)
        masks.append(np.concatenate([~selection.mask(rows.columns(s, min(s + BLOCK, len(rows)))) for s in starts]))
    if any(not mask.all() for mask in masks):
        writer = SegmentWriter(
            root, header.size, SearchChoice(product=header.engine, uri=header.uri), header.next_id, emit
        )
        write_changes(writer, header, masks)
        publish_segments(root, writer.header(header))


def remove_from_store(path: Path, plan: Plan, selection: Selection) -> None:
    """Rewrite a store without the selected rows, and without the rejects of these people and photos."""
    with atomic.lock(path), Store(path) as store:
        rejects = [reject for reject in store.rejects() if not _is_store_reject(plan, reject)]
        masks = [~selection.mask(block.columns) for block in store.blocks(BLOCK)]
        if all(mask.all() for mask in masks) and len(rejects) == len(store.rejects()):
            return

        def remaining() -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
            for block, mask in zip(store.blocks(BLOCK), masks, strict=True):
                yield from zip(block.columns.select(mask).rows(), block.vectors[mask], strict=True)

        write_store(path, store.header, remaining(), rejects)


def remove_from_crops(folder: Path, plan: Plan) -> None:
    """Remove the plan's crops from a crop folder, and their manifest lines. The other faces of these photos get new
    numbers. The contact sheet shows crops, so it is removed too."""
    crops, photos = set(plan.crops.get(str(folder), ())), set(plan.photos.get(str(folder), ()))
    with atomic.lock(folder / MANIFEST):
        if any(values.get("crop") in crops for values in read_lines(folder / MANIFEST)):
            _rewrite(folder / MANIFEST, _remaining_lines(folder / MANIFEST, crops))
        if any(_is_crop_reject(plan, photos, values) for values in read_lines(folder / REJECTS)):
            rejects = (values for values in read_lines(folder / REJECTS) if not _is_crop_reject(plan, photos, values))
            _rewrite(folder / REJECTS, map(line, rejects))
        for name in sorted(crops):
            for path in (folder / name, atomic.partial(folder / name)):
                path.unlink(missing_ok=True)
                with suppress(OSError):  # a folder with other crops is not removed
                    while path.parent != folder:
                        path = path.parent
                        path.rmdir()
        (folder / REPORT_PAGE).unlink(missing_ok=True)


def _remaining_lines(manifest: Path, crops: set[str]) -> Iterator[str]:
    # a photo that was aligned twice has lines of both runs; only the last ones are valid, but all name its crops
    for _, group in groupby(read_lines(manifest), key=lambda values: values.get("source")):
        lines = list(group)
        remaining = [values for values in lines if values.get("crop") not in crops]
        if len(remaining) == len(lines):
            yield from map(line, remaining)
            continue
        for face, values in enumerate(remaining, 1):
            crop_record(values, manifest)
            yield line({**values, "face": face, "faces": len(remaining)})


def _rewrite(path: Path, lines: Iterator[str]) -> None:
    with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def _is_crop_reject(plan: Plan, photos: set[str], reject: dict[str, object]) -> bool:
    source = str(reject.get("source"))
    return source in photos or source.partition("/")[0] in plan.identities


def _is_store_reject(plan: Plan, reject: dict[str, object]) -> bool:
    source = str(reject.get("source"))
    is_known = (str(reject.get("root")), source) in plan.sources
    return is_known or source.partition("/")[0] in plan.identities
