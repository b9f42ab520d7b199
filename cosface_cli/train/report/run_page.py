"""report.html: the epochs of a run, the angles before and after, and the labels that look wrong, on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import line
from cosface_cli.artifacts.files.atomic import write_text
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord
from cosface_cli.artifacts.run.weights import Weights
from cosface_cli.backbones.build_backbone import build, put
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.crops.dataset import LabelledCrops, read_crop
from cosface_cli.train.job import TrainingJob
from cosface_cli.train.report import curves, embedding_angles
from cosface_cli.train.report.label_audit import Audit, Suspect, audit
from cosface_cli.train.scoring.crop_vectors import evaluating
from cosface_cli.train.step.learner import Learner

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops

SIDE = 96  # pixels of a thumbnail's longer side
MAX_SUSPECTS = 200  # suspects on the page; noise.jsonl has all


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainedRun:
    """The result of a run."""

    network: nn.Module
    """The network with the weights that the run folder keeps."""
    header: Weights
    """Header of these weights."""
    record: RunRecord
    rows: Sequence[Mapping[str, Any]]
    """The rows of metrics.jsonl."""
    best_epoch: int | None
    """The epoch of these weights; None if no epoch was scored."""


def write_report(
    folder: RunFolder, job: TrainingJob, learner: Learner, pairs: PairCrops | None, trained: TrainedRun, emit: OnOutcome
) -> None:
    """Write noise.jsonl and report.html. pairs: the pairs on which the run was validated.

    The untrained network is built again from the seed, so that a resumed run gives the same page.
    """
    settings, data = job.settings, job.data
    first = build(settings.backbone, settings.embedding_size, settings.seed)
    if job.start:
        put(first, job.start.tensors, "the start's weights do not fit its backbone")
    with evaluating(learner, first):
        before = embedding_angles.measure(learner, data, job.held_out, pairs, settings.embedding_size)
    with evaluating(learner, trained.network):
        after = embedding_angles.measure(learner, data, job.held_out, pairs, settings.embedding_size)
        audited = audit(learner, data, folder.root)
    write_text(folder.noise, "".join(line(suspect.row(data)) for suspect in audited.suspects))
    page_writer.write_page(
        folder.report,
        "train/report/run_page.html.j2",
        {
            **_summary(trained, audited),
            "curves": curves.of_epochs(trained.rows, settings.schedule, trained.best_epoch),
            "angles": curves.of_angles(before, after),
            "angle_rows": [
                (kind, when, by_kind[kind])
                for kind in before
                for when, by_kind in (("before", before), ("after", after))
                if kind in by_kind
            ],
            "far": embedding_angles.FAR,
            "suspects": len(audited.suspects),
            "judged": audited.judged,
            "doubtful": audited.is_doubtful,
            "shown": min(MAX_SUSPECTS, len(audited.suspects)),
            "people": _people(data, audited),
            "columns": list(dict.fromkeys(name for row in trained.rows for name in row)),
            "rows": trained.rows,
            "number": _number,
            "median": embedding_angles.median_text,
        },
    )
    if audited.is_doubtful:
        words = "too many to be wrong labels; the network does not tell people apart well enough"
        emit(Note(f"{len(audited.suspects)} of {audited.judged} crops are nearer to another identity: {words}"))
    elif audited.suspects:
        emit(Note(f"{len(audited.suspects)} of {audited.judged} crops look mislabelled: {folder.noise}"))
    emit(Note(f"report: {folder.report}"))


def _summary(trained: TrainedRun, audited: Audit) -> dict[str, object]:
    record, header = trained.record, trained.header
    last = trained.rows[-1] if trained.rows else {}
    best = next((row for row in trained.rows if row["epoch"] == trained.best_epoch), last)
    numbers = [
        ("identities", f"{header.identities:,}"),
        ("crops", f"{record.data['crops']:,}"),
        ("epochs", last.get("epoch")),
        ("kept epoch", trained.best_epoch),
        ("loss", _short(last.get("loss"))),
        ("validation accuracy", _percent(best.get("validation_accuracy"))),
        ("held out", _percent(best.get("hold_out_score"))),
        ("look mislabelled", None if audited.is_doubtful else f"{len(audited.suspects):,}"),
    ]
    loss = ", ".join(f"{name} {value:g}" for name, value in header.loss.items() if name != "name")
    made = [
        ("weights", header.model_id[:12]),
        ("licence of the start", header.licence),
        ("start", header.lineage[-1][:12] if header.lineage else None),
        ("recipe", record.data.get("recipe")),
        ("crops", record.data["folder"]),
        ("fingerprint", str(record.data["fingerprint"])[:12]),
    ]
    return {
        "title": f"{header.loss['name']} on {header.backbone}" + (f", {loss}" if loss else ""),
        "numbers": [(name, value) for name, value in numbers if value is not None],
        "made": [(name, value) for name, value in made if value is not None],
        "settings": {name: _words(value) for name, value in record.settings.items()},
    }


def _people(data: LabelledCrops, audited: Audit) -> list[dict[str, object]]:
    """The first suspects by the identity of their label, in descending order of their number, each with a typical crop
    of its label and of the nearest identity."""
    listed = audited.suspects[:MAX_SUSPECTS]
    counts = Counter(suspect.label for suspect in audited.suspects)
    thumbnails: dict[int, str | None] = {}
    people = []
    for label in sorted({suspect.label for suspect in listed}, key=lambda label: (-counts[label], label)):
        suspects = [suspect for suspect in listed if suspect.label == label]
        people.append(
            {
                "name": data.identities[label],
                "crops": int((data.labels == label).sum()),
                "count": counts[label],
                "suspects": [_compared(data, audited, suspect, thumbnails) for suspect in suspects],
            }
        )
    return people


def _compared(
    data: LabelledCrops, audited: Audit, suspect: Suspect, thumbnails: dict[int, str | None]
) -> dict[str, object]:
    def picture(crop: int) -> str | None:
        if crop not in thumbnails:
            image = read_crop(data.crops[crop])
            thumbnails[crop] = page_writer.picture(pictures.encode_thumbnail(image, SIDE))
        return thumbnails[crop]

    def typical_picture(identity: int) -> str | None:
        crop = int(audited.typical[identity])
        return picture(crop) if crop >= 0 else None

    return {
        **suspect.row(data),
        "picture": picture(suspect.crop),
        "label_picture": typical_picture(suspect.label),
        "nearest_picture": typical_picture(suspect.nearest),
    }


def _number(value: float | None) -> str:
    """A cell of the table of epochs."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.5g}"


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in sorted(value.items())) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
