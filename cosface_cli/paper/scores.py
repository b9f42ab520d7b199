"""How well a trained network verifies pairs, by verify's own protocol; once for the same weights and photos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.photos.pair_photos import PairFiles, find_pair_files
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome, Outcome, Rejected
from cosface_cli.paper import Measuring, published
from cosface_cli.paper.runs import Trained
from cosface_cli.registry import one_of
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.stage import verify_protocol


@dataclass(frozen=True, slots=True)
class Photos:
    """What is compared. state: hash of the list, of each photo's name, size and time, and of how they are seen."""

    measuring: Measuring
    pairs: int
    folds: int
    state: str


@dataclass(frozen=True, slots=True)
class Score:
    """As in ProtocolReport: accuracy, its standard error over the folds, both 0..1; missing: photos without a face."""

    accuracy: float
    error: float
    missing: int


def photos(measuring: Measuring) -> Photos:
    """Look for the photos of the pairs, before anything is trained. Raises CosfaceError as verify does."""
    one_of(measuring.flip, FLIPS, "--flip")
    files = find_pair_files(measuring.pairs, measuring.root, measuring.crops_template)
    if files.listed.folds < 2:
        raise CosfaceError("all pairs are of one fold", measuring.pairs, "give pairs in two folds or more")
    return Photos(measuring, len(files.listed.pairs), files.listed.folds, _state(measuring, files))


def score(trained: Trained, compared: Photos, out: Path, emit: OnOutcome) -> Score:
    """The accuracy of a run's weights, from out/scores/RUN.json where they were scored on the same before."""
    file = out / "scores" / f"{trained.folder.name}.json"
    of = {"model_id": trained.model_id, "photos": compared.state}
    known = _read(file)
    if known is None or known.get("of") != of:
        measuring = compared.measuring
        config = ProtocolConfig(
            source=measuring.root,
            protocol="lfw",
            pairs=measuring.pairs,
            models=(str(trained.folder),),
            flip=measuring.flip,
            crops_template=measuring.crops_template,
            workers=measuring.workers,
        )
        report = asdict(verify_protocol(config, _heard(trained.folder.name, emit)))
        del report["seconds"]
        known = {"of": of, "report": report}
        atomic.make_folder(file.parent)
        atomic.write_text(file, json.dumps(known, indent=1, ensure_ascii=True) + "\n")
    report = known["report"]
    return Score(report["accuracy"], report["accuracy_se"], len(report["missing"]))


def differences(compared: Photos) -> list[str]:
    """In which ways the pairs are not LFW's View 2, or seen otherwise than the paper's."""
    found = []
    if (compared.pairs, compared.folds) != (published.PAIRS, published.FOLDS):
        found.append(
            f"test: {compared.pairs:,} pairs in {compared.folds} folds of {compared.measuring.pairs}; "
            f"the paper's {published.PAIRS:,} in {published.FOLDS}"
        )
    if compared.measuring.flip != published.FLIP:
        found.append(f"test: flip {compared.measuring.flip}; the paper's {published.FLIP}")
    return found


def _state(measuring: Measuring, files: PairFiles) -> str:
    digest = hashlib.sha256(measuring.pairs.read_bytes())
    digest.update(f"{measuring.flip} {measuring.crops_template}\n".encode())
    for name, item in zip(files.names, files.inputs, strict=True):
        digest.update(f"{name} {item.place.status()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read(file: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(file.read_text("utf-8"))
        return found if isinstance(found, dict) and {"of", "report"} <= set(found) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CosfaceError("no score of ours", file, "remove it") from error


def _heard(name: str, emit: OnOutcome) -> OnOutcome:
    """Sentences under the run's name: the photos are not the figure's inputs."""

    def passed(outcome: Outcome) -> None:
        match outcome:
            case Note(text=text) | Rejected(words=text):
                emit(Note(f"{name}: {text}"))

    return passed
