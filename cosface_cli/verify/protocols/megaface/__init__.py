"""MegaFace (Kemelmacher-Shlizerman 2016): people's photos searched for among up to a million distractors.

Each photo of a person is a probe for each other photo of that person: rank 1 is won where that photo is nearer to the
probe than every distractor. Verification takes all pairs of one person's photos as genuine, and all pairs of a probe
and a distractor as impostors. Source and distractors are stores, or folders of MegaFace's .bin feature files.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cosface_cli.engines.photos.photo_options import WorkersOption
from cosface_cli.errors import CosfaceError
from cosface_cli.options import option
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify.protocols.protocol_config import OptionsByField, ProtocolConfig

if TYPE_CHECKING:
    from cosface_cli.verify.faces.source import StoredFaces
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

GROUP = "Protocol megaface"


@dataclass(frozen=True, slots=True, kw_only=True)
class MegafaceConfig(ProtocolConfig):
    """Rank 1 and rank 10 by the number of distractors, and the curve of verification."""

    source: Path
    distractors: Annotated[
        Path | None,
        option("Store or folder of .bin features of the distractors; SOURCE is of the same kinds.", group=GROUP),
    ] = None
    noises: Annotated[
        Path | None,
        option("List of photos to leave out, one per line, with or without folder and ending.", group=GROUP),
    ] = None
    features: Annotated[Path | None, option("New folder to write both stores to as .bin features.", group=GROUP)] = None
    workers: WorkersOption = 0

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        return "there are distractors" if options.get("distractors") is not None else None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """Raises CosfaceError for a list of noises that fits less than half, ModelMismatch for stores of two models."""
        from cosface_cli.verify.faces.features import write_features
        from cosface_cli.verify.protocols.megaface.searches import score_searches, without_noises

        if self.distractors is None:
            hint = "name a store or a folder of features: --distractors"
            raise CosfaceError("MegaFace needs distractors", self.source, hint)
        with ExitStack() as opened:
            probes, distractors = (_open(path, opened) for path in (self.source, self.distractors))
            if probes.model is not None and distractors.model is not None:
                distractors.model.require_same(probes.model, distractors.path, f"use the model of {probes.path}")
            details: dict[str, object] = {}
            if self.noises is not None:
                probes, distractors, details["noises"] = without_noises(probes, distractors, self.noises)
            if self.features is not None:
                write_features(probes, self.features / "probes")
                write_features(distractors, self.features / "distractors")
            return score_searches(probes, distractors, details, self.workers, emit)


def _open(path: Path, opened: ExitStack) -> StoredFaces:
    from cosface_cli.artifacts.store.store_series import require_finished
    from cosface_cli.verify.faces.features import read_features
    from cosface_cli.verify.faces.open_faces import is_store
    from cosface_cli.verify.faces.store import StoreFaces

    if not is_store(path):
        return read_features(path)
    require_finished(path)
    return opened.enter_context(StoreFaces(path)).stored_faces()
