"""A person goes: plan, taking out, proof, receipt. Stopped at any moment, the next run ends it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import is_crop_folder
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index import people_file
from cosface_cli.artifacts.index.forgotten import write_receipt
from cosface_cli.artifacts.index.index_folder import MAIN, IndexHeader, read_header, require_own, require_whole, sweep
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.errors import CosfaceError
from cosface_cli.index.forget import ForgetConfig, ForgetReport
from cosface_cli.index.forget import plan as plans
from cosface_cli.index.forget.plan import Plan, Wanted, gathered
from cosface_cli.index.forget.proof import proved
from cosface_cli.index.forget.remove import from_crops, from_index, from_store
from cosface_cli.outcomes import Note, OnOutcome, ignore


def forget(config: ForgetConfig, emit: OnOutcome = ignore) -> ForgetReport:
    """Take a person, or a photo, out of the index, the stores that it was built from and the crop folders of their
    rows.

    First what a stopped run left is ended. Without config.yes nothing is changed and the report says what would go.
    Raises CosfaceError where neither a person is named nor a stopped run is there, or a store is still being filled.
    """
    root = config.index
    read_header(root)
    require_own(root)
    with atomic.lock(root / MAIN), atomic.write_errors(root):
        plan = Plan.read(root)
        if plan is not None:
            if not config.yes:
                raise CosfaceError("forgetting somebody has not ended here", root, "give --yes to end it")
            emit(Note("a run that was stopped is ended first"))
            report = _done(root, plan, emit)
            if config.identity is None and config.source is None:
                return report
        if (config.identity is None) == (config.source is None):
            raise CosfaceError("say whom to forget", hint="give --identity NAME or --source PATH")
        header = read_header(root)
        require_whole(root, header)
        plan = gathered(config, header, _stores(config, header, emit))
        crops = sum(map(len, plan.crops.values()))
        if not plan.faces and not crops:
            return _report(root, plan, False)
        if not config.yes:
            return _report(root, plan, False)
        plan.write(root)
        return _done(root, plan, emit)


def _done(root: Path, plan: Plan, emit: OnOutcome) -> ForgetReport:
    wanted = Wanted(plan)
    for path in map(Path, plan.stores):
        require_finished(path)
    named = people_file.forget(root, plan.faces)
    from_index(root, read_header(root), wanted, emit)
    sweep(root, set(read_header(root).files))
    for path in map(Path, plan.stores):
        from_store(path, plan, wanted)
    for folder in map(Path, plan.folders):
        if is_crop_folder(folder):
            from_crops(folder, plan)
    proof = proved(root, plan)
    for name, what in proof.remains.items():
        emit(Note(f"{name}: {what} is left; take the file away, and forget again"))
    if proof.remains:
        return _report(root, plan, False, named, proof.files, proof.bytes, tuple(proof.remains))
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
    (root / plans.FILE).unlink()
    emit(Note("photos are not ours to delete: where they still lie, align and embed would find the person again"))
    return _report(root, plan, True, named, proof.files, proof.bytes, receipt=str(receipt))


def _stores(config: ForgetConfig, header: IndexHeader, emit: OnOutcome) -> Sequence[Path]:
    """The stores that are there. Raises CosfaceError for one that is still being filled, or was named and is none."""
    found: dict[Path, None] = {}
    for path in [Path(name) for name in header.stores] + [path.absolute() for path in config.stores]:
        if path.is_file():
            require_finished(path)
            found[path] = None
        elif str(path) in header.stores:
            emit(Note(f"{path}: the index was built from it, and it is not there: what it holds is not forgotten"))
        else:
            raise CosfaceError("no such store", path)
    return list(found)


def _report(
    root: Path,
    plan: Plan,
    done: bool,
    named: int = 0,
    files: int = 0,
    looked: int = 0,
    remains: tuple[str, ...] = (),
    receipt: str | None = None,
) -> ForgetReport:
    crops = sum(map(len, plan.crops.values()))
    return ForgetReport(
        str(root), done, plan.index_rows, plan.store_rows, crops, named, files, looked, remains, receipt
    )
