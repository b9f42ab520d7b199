"""The base of all protocols: a config whose fields are its options, which recognises its files and scores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cosface_cli.engines.photos.photo_options import CropsTemplateOption
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Checked, check, option
from cosface_cli.verify.faces import EmbeddingConfig, OneFaceOption

if TYPE_CHECKING:  # numpy is loaded when a protocol runs
    from cosface_cli.outcomes import OnOutcome
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

PROTOCOL = "Protocol"
OptionsByField = Mapping[str, Any]  # the options of a command line
Missing = Literal["error", "skip"]
PairsOption = Annotated[
    Path | None,
    option(
        "The protocol's list of pairs, such as LFW's pairs.txt; or a CSV of pairs to compare.",
        unset="the protocol's list in SOURCE",
        group=PROTOCOL,
    ),
]
MissingOption = Annotated[
    Missing, option("Pairs without a score: error counts them as errors, skip leaves them out.", group=PROTOCOL)
]
AllowMissingOption = Annotated[
    int, option("Photos that may have no score; the exit code is 3 if there are more.", at_least=0, group=PROTOCOL)
]
ScoresOption = Annotated[
    Path | None, option("Write the score of each pair to this CSV file; verify reads it again.", group=PROTOCOL)
]


class ProtocolConfig(Checked):
    """Base of the configs of all protocols.

    Each is a frozen dataclass with the options of its protocol. The figures are computed from the result of `score`.
    """

    __slots__ = ()
    source: Path
    """Photos, crops, a store, or the protocol's file. Each subclass declares it as a field."""

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        """The reason why the files of a command line are this protocol's; None if they are not."""
        return None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """The scores of the protocol's pairs. Raises CosfaceError for sources and lists that do not fit."""
        raise NotImplementedError

    def allowed_missing(self) -> int | None:
        """The number of photos that may have no score; None for any number."""
        return 0

    def scores_file(self) -> Path | None:
        """The file for the scores of the pairs, if any."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairListConfig(EmbeddingConfig, ProtocolConfig):
    """Options of the protocols that score the pairs of a list: of photos, of crops, or of a store."""

    source: Path
    pairs: PairsOption = None
    crops_template: CropsTemplateOption = None
    faces: OneFaceOption = "center"
    missing: MissingOption = "error"
    allow_missing: AllowMissingOption = 0
    scores: ScoresOption = None

    def __post_init__(self) -> None:
        check(self)
        check_missing(self.missing, self.allow_missing)

    def allowed_missing(self) -> int | None:
        return None if self.missing == "skip" else self.allow_missing

    def scores_file(self) -> Path | None:
        return self.scores


def check_missing(missing: Missing, allow_missing: int) -> None:
    """Raises CosfaceError for two options that exclude each other."""
    if allow_missing and missing == "skip":
        problem = "--allow-missing has no effect with --missing skip, which allows any number"
        raise CosfaceError(problem, hint="leave it out")
