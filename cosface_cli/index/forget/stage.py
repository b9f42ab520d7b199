"""Forgetting a person: plan, removal, proof, receipt. The next run finishes an interrupted one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import is_crop_folder
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index import people_file
from cosface_cli.artifacts.index.forgotten import PLAN, write_receipt
from cosface_cli.artifacts.index.index_folder import (
    MAIN,
    IndexHeader,
    read_header,
    require_index_or_empty,
    require_whole,
    sweep,
)
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.errors import CosfaceError
from cosface_cli.index.forget import ForgetConfig, ForgetReport
from cosface_cli.index.forget.plan import Plan, make_plan, selection_of
from cosface_cli.index.forget.proof import Proof, search_for_traces
from cosface_cli.index.forget.remove import remove_from_crops, remove_from_index, remove_from_store
from cosface_cli.outcomes import Note, OnOutcome, ignore


def forget(config: ForgetConfig, emit: OnOutcome = ignore) -> ForgetReport:
    """Remove a person, or a photo, from the index, from the stores that it was built from, and from the crop folders of
    their rows.

    An interrupted run is finished first. Without config.yes nothing is changed, and the report says what would be
    removed. Raises CosfaceError if no person or photo is named and no run was interrupted, or if a store is still being
    written.
    """
    root = config.index
    read_header(root)
    require_index_or_empty(root)
    with atomic.lock(root / MAIN), atomic.write_errors(root):
        plan = Plan.read(root)
        if plan is not None:
            if not config.yes:
                raise CosfaceError(
                    "an interrupted `cosface index forget` is unfinished", root, "give --yes to finish it"
                )
            emit(Note("an interrupted run is finished first"))
            report = _carry_out(root, plan, emit)
            if config.identity is None and config.source is None:
                return report
        if (config.identity is None) == (config.source is None):
            raise CosfaceError("no person or photo is named", hint="give one of --identity NAME and --source PATH")
        header = read_header(root)
        require_whole(root, header)
        plan = make_plan(config, header, _stores(config, header, emit))
        if not config.yes or not (plan.faces or plan.crop_count):
            return _report(root, plan)
        plan.write(root)
        return _carry_out(root, plan, emit)


def _carry_out(root: Path, plan: Plan, emit: OnOutcome) -> ForgetReport:
    selection = selection_of(plan)
    for path in map(Path, plan.stores):
        require_finished(path)
    people = people_file.forget(root, plan.faces)
    remove_from_index(root, read_header(root), selection, emit)
    sweep(root, set(read_header(root).files))
    for path in map(Path, plan.stores):
        remove_from_store(path, plan, selection)
    for folder in map(Path, plan.folders):
        if is_crop_folder(folder):
            remove_from_crops(folder, plan)
    proof = search_for_traces(root, plan)
    for name, what in proof.remains.items():
        emit(Note(f"{name}: {what} is left in it; remove the file, and run the same command again"))
    if proof.remains:
        return _report(root, plan, people=people, proof=proof)
    receipt = write_receipt(
        root,
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "faces": plan.faces,
            "crops": sorted(set(plan.hashes)),
            "index_rows": plan.index_rows,
            "store_rows": plan.store_rows,
            "searched": {"files": proof.files, "bytes": proof.bytes, "pieces": len(plan.pieces)},
        },
    )
    (root / PLAN).unlink()
    emit(Note("cosface does not delete photos: as long as they exist, align and embed find the person in them again"))
    return _report(root, plan, people=people, proof=proof, receipt=receipt)


def _stores(config: ForgetConfig, header: IndexHeader, emit: OnOutcome) -> Sequence[Path]:
    """The stores to search. Raises CosfaceError for one that is still being written, or was named but is missing."""
    stores: dict[Path, None] = {}
    for path in [Path(name) for name in header.stores] + [path.absolute() for path in config.stores]:
        if path.is_file():
            require_finished(path)
            stores[path] = None
        elif str(path) in header.stores:
            emit(Note(f"{path}: the index was built from this store, but the file is missing: it is not searched"))
        else:
            raise CosfaceError("no such store", path)
    return list(stores)


def _report(
    root: Path, plan: Plan, *, people: int = 0, proof: Proof | None = None, receipt: Path | None = None
) -> ForgetReport:
    """receipt: None unless everything was removed and no trace was found."""
    proof = proof or Proof()
    return ForgetReport(
        index=str(root),
        done=receipt is not None,
        index_rows=plan.index_rows,
        store_rows=plan.store_rows,
        crops=plan.crop_count,
        people=people,
        files=proof.files,
        bytes=proof.bytes,
        remains=tuple(proof.remains),
        receipt=None if receipt is None else str(receipt),
    )
