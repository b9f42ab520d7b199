"""The accuracy of a trained network on pairs, by verify's LFW protocol. Results are saved by weights and photos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.engines.photos.pair_photos import PairFiles, find_pair_files
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome, Outcome, Rejected
from cosface_cli.paper import ComparisonConfig
from cosface_cli.paper.trainings.training_runs import TrainedNetwork
from cosface_cli.verify.protocols.lfw import LfwConfig
from cosface_cli.verify.stage import verify_protocol


@dataclass(frozen=True, slots=True)
class VerificationPairs:
    """The pairs on which every network of a figure is verified."""

    file: Path
    pairs: int
    folds: int
    flip: str
    fingerprint: str
    """SHA-256 of the list, of each photo's name, size and time, and of how photos are embedded."""


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """The accuracy of one network."""

    accuracy: float
    """0..1, mean over the folds."""
    standard_error: float
    """Standard error of the accuracy, over the folds."""
    missing: int
    """Photos without a face."""


def find_pairs_and_photos(config: ComparisonConfig) -> VerificationPairs:
    """Find the photos of the pairs, before anything is trained. Raises CosfaceError as verify does."""
    files = find_pair_files(config.pairs, config.root, config.crops_template)
    if files.listed.folds < 2:
        raise CosfaceError("all pairs are in one fold", config.pairs, "give pairs in two folds or more")
    return VerificationPairs(
        config.pairs, len(files.listed.pairs), files.listed.folds, config.flip, _fingerprint(config, files)
    )


def verify_network(
    network: TrainedNetwork, config: ComparisonConfig, test: VerificationPairs, emit: OnOutcome
) -> PairAccuracy:
    """The accuracy of a network, from out/scores/RUN.json if that has the same weights and photos."""
    file = config.out / "scores" / f"{network.folder.name}.json"
    subject = {"model_id": network.model_id, "photos": test.fingerprint}
    saved = _read(file)
    if saved is None or saved.get("of") != subject:
        protocol = LfwConfig(
            source=config.root,
            pairs=config.pairs,
            models=(str(network.folder),),
            flip=config.flip,
            crops_template=config.crops_template,
            workers=config.workers,
        )
        values = asdict(verify_protocol(protocol, _notes_of(network.folder.name, emit)))
        del values["seconds"]
        saved = {"of": subject, "report": values}
        atomic.make_folder(file.parent)
        atomic.write_text(file, json.dumps(saved, indent=1, ensure_ascii=True) + "\n")
    report = saved["report"]
    return PairAccuracy(report["accuracy"], report["accuracy_se"], len(report["missing"]))


def _fingerprint(config: ComparisonConfig, files: PairFiles) -> str:
    digest = hashlib.sha256(config.pairs.read_bytes())
    digest.update(f"{config.flip} {config.crops_template}\n".encode())
    for name, item in zip(files.names, files.inputs, strict=True):
        digest.update(f"{name} {item.place.status()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read(file: Path) -> Mapping[str, Any] | None:
    try:
        values = json.loads(file.read_text("utf-8"))
        return values if isinstance(values, dict) and {"of", "report"} <= set(values) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CosfaceError("not a file of scores", file, "remove it") from error


def _notes_of(name: str, emit: OnOutcome) -> OnOutcome:
    """A callback for the verify stage. It adds the run's name to notes, and drops the outcomes of photos, which are not
    inputs of the figure."""

    def on_outcome(outcome: Outcome) -> None:
        match outcome:
            case Note(text=text) | Rejected(words=text):
                emit(Note(f"{name}: {text}"))

    return on_outcome
