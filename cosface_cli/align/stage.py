"""Photos to crops: list the photos, skip the unchanged ones, align the others in workers, write crops and manifest."""

from __future__ import annotations

from cosface_cli.align import AlignConfig, AlignReport
from cosface_cli.align.align_worker import AlignWorkerOpener
from cosface_cli.align.contact_sheet import write_contact_sheet
from cosface_cli.align.crop_update import CHUNK, CropUpdate
from cosface_cli.align.duplicates import duplicates_note
from cosface_cli.artifacts.crops.manifest import MANIFEST
from cosface_cli.artifacts.files import atomic
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.runners import RUNNERS, PathCheckingOpener, Runner
from cosface_cli.engines.runners.incremental import IncrementalRun
from cosface_cli.engines.sources import Listing
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.engines.sources.presence import require_whole
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome, Planned, ignore


def align(config: AlignConfig, emit: OnOutcome = ignore) -> AlignReport:
    """Align the faces of all photos of config.raw into the crop folder config.aligned.

    Unchanged photos are skipped. Raises CosfaceError for a missing source, an unknown name, or a folder whose crops
    were made with other settings.
    """
    detector = open_detector(config.detector, config.min_face).name  # a wrong name fails before any work
    runner = RUNNERS.load(config.engine)  # so does a missing package
    run = IncrementalRun(config.raw, emit)
    listing = list_photos(config.raw, config.aligned, config.every, config.root)
    run.note(*listing.notes)
    if config.prune:
        require_whole(config.raw, listing.whole)
    if not listing.items:
        run.note(f"{config.raw}: contains no photos")
        return AlignReport()
    if config.raw != "-" and listing.root.resolve() == config.aligned.resolve():
        problem = "this is the folder of the photos; crops would replace them"
        raise CosfaceError(problem, config.aligned, "choose another folder for the crops")
    atomic.make_folder(config.aligned)
    with atomic.lock(config.aligned / MANIFEST):
        emit(Planned(len(listing.items)))
        report = _update(CropUpdate(config, detector, run), listing, runner)
        if config.report:
            places = {item.name: item.place for item in listing.items}
            run.note(f"contact sheet: {write_contact_sheet(config.aligned, places.get)}")
        return report


def _update(update: CropUpdate, listing: Listing, runner: Runner) -> AlignReport:
    """Bring the crop folder up to date with the listed photos."""
    config, run, folder, items = update.config, update.run, update.folder, listing.items
    update.require_same_settings()
    opener = PathCheckingOpener(AlignWorkerOpener(config), listing.files)
    results = run.results(
        runner,
        opener,
        update.pending(items),
        workers=config.workers,
        chunk=max(1, min(CHUNK, len(items) // 16)),  # smaller for few photos, so that every worker gets some
        most=len(items),
    )
    try:
        with run.explaining_errors():
            for photo, result in results:
                update.write(photo, result)
    finally:
        folder.close()
    removed = run.removed_photos(folder.photos, (item.name for item in items)) if listing.whole else []
    if config.prune:
        update.remove(removed)
    run.note_removed(config.aligned, len(removed), "crops", config.prune)
    update.delete_stale_crops()
    folder.finish(item.name for item in items)  # last: until it is done, the run counts as unfinished
    duplicates = duplicates_note(
        (item.display_name, saved.hash)
        for item in items
        if (saved := folder.photos.get(item.name)) is not None and saved.crops
    )
    if duplicates is not None:
        run.note(duplicates)
    return AlignReport(
        photos=len(items),
        crops=len(update.crop_names()),
        done=run.tally.done,
        skipped=run.tally.skipped,
        rejected=run.tally.rejected,
        gone=len(removed),
    )
