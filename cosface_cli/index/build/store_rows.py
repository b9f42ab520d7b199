"""The rows that an index takes from stores: compare them with the rows that it has, and read the new ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.store.face_rows import Columns
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.index.build.photo_times import PhotoTimes
from cosface_cli.index.build.row_keys import Keys, Mask, accepted_rows, is_in, source_keys
from cosface_cli.index.build.segments import BLOCK, RowBlock
from cosface_cli.outcomes import Done, OnOutcome


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RowPlan:
    """Which rows of an index remain, and which rows of the stores are added."""

    remaining_masks: list[Mask]
    """For each segment, (N,): the rows that remain."""
    new: Mask
    """(n,) over the rows of all stores in order: the rows that are added."""
    remaining: int
    removed: int
    duplicates: int
    forgotten: int


def plan_rows(root: Path, header: IndexHeader, stores: Sequence[Path], keep_other_sources: bool) -> RowPlan:
    """Compare the keys of an index with those of stores.

    keep_other_sources: whether rows of the index whose source is in none of the stores remain.
    """
    keys = _store_keys(stores)
    accepted = accepted_rows(keys, root)
    accepted_keys = np.sort(keys[accepted.mask])
    segment_keys = [np.array(IndexRows(root / segment.names, segment.rows).keys) for segment in header.segments]
    masks = [is_in(of_segment, accepted_keys) for of_segment in segment_keys]
    if keep_other_sources:
        sources = np.sort(source_keys(keys))
        masks = [
            mask | ~is_in(source_keys(of_segment), sources)
            for mask, of_segment in zip(masks, segment_keys, strict=True)
        ]
    remaining_keys = [of_segment[mask] for of_segment, mask in zip(segment_keys, masks, strict=True)]
    remaining = sum(map(len, remaining_keys))
    return RowPlan(
        remaining_masks=masks,
        new=accepted.mask & ~is_in(keys, np.sort(np.concatenate([keys[:0], *remaining_keys]))),
        remaining=remaining,
        removed=header.rows - remaining,
        duplicates=accepted.duplicates,
        forgotten=accepted.forgotten,
    )


def read_new_rows(stores: Sequence[Path], new: Mask, emit: OnOutcome) -> Iterator[RowBlock]:
    """The rows of the stores where new is true. A row whose embedding is not of unit length is Rejected."""
    start = 0
    times = PhotoTimes()
    for path in stores:
        with Store(path) as store:
            for block in store.blocks(BLOCK):
                wanted = new[start : start + len(block)]
                start += len(block)
                if not wanted.any():
                    continue
                for rejected in block.rejected(wanted):
                    emit(rejected)
                mask = wanted & block.unit
                if mask.any():
                    columns = times.fill_in(block.columns.select(mask))
                    yield RowBlock(columns, columns.keys(), block.vectors[mask])
                    emit(Done(str(path), count=len(columns)))


def _store_keys(stores: Sequence[Path]) -> Keys:
    """The keys of all rows of the stores, in order."""
    keys = [Columns.of([]).keys()]
    for path in stores:
        with Store(path) as store:
            keys += [block.columns.keys() for block in store.blocks(BLOCK)]
    return np.concatenate(keys)
