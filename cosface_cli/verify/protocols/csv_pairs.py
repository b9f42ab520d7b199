"""Any list of pairs with named columns: of photos, crops or a store under a root, or with scores in the list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cosface_cli.artifacts.lists.pair_table import PairRow, list_kind, read_pair_rows
from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.errors import CosfaceError
from cosface_cli.options import flag_of, option
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.protocols.protocol_config import OptionsByField, PairListConfig

if TYPE_CHECKING:
    from cosface_cli.verify.figures.protocol_scores import Groups, ProtocolScores

ENDINGS = {".csv", ".tsv", ".ndjson", ".jsonl"}
FOR_FACES = {"models", "fuse", "flip", "crops_template", "detector", "faces", "min_face"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvConfig(PairListConfig):
    """The pairs of a list; accuracy by folds if it has folds.

    With `pairs`, source is the root of the photos. Without, source is the list, and its names are relative to its
    folder; if it has scores, they are used and no photo is embedded.
    """

    groups: Annotated[
        str | None,
        option(
            "Column of the list, also left_NAME and right_NAME: TAR and FAR within groups and between them.",
            group="Protocol csv",
        ),
    ] = None

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        listed: Path = options.get("pairs") or source
        if not listed.is_file() or (listed == source and source.suffix.lower() not in ENDINGS):
            return None
        return f"{listed.name} has named columns" if list_kind(listed) == "csv" else None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.figures.protocol_scores import ProtocolScores
        from cosface_cli.verify.protocols.listed_pairs import guess_identities, score_pairs

        listed = self.source if self.pairs is None else self.pairs
        rows = read_pair_rows(listed)
        has_scores = any(row.score is not None for row in rows)
        if any(row.same is None for row in rows):
            raise CosfaceError("not every row has a label", listed, "add a column same, 1 or 0")
        if has_scores and self.pairs is None:
            return self._listed_scores(guess_identities(rows), listed)
        if not all(row.left for row in rows):
            raise CosfaceError("not every row names two photos", listed, "name them, or give the list alone")
        if has_scores:
            emit(Note(f"{listed.name}: its scores are not used, the faces are embedded"))
        groups = self._groups(rows, listed)
        root = listed.parent if self.pairs is None else self.source
        with open_faces(self, root, self.crops_template, emit) as faces:
            scores, table, missing = score_pairs(guess_identities(rows), faces, listed, emit)
        by_folds = scores.folds > 1
        if not by_folds:
            emit(Note("no accuracy: with one fold there are no pairs to choose its threshold on"))
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=scores,
            by_folds=by_folds,
            missing=missing,
            missing_rule=self.missing,
            list_hash=file_sha256(listed),
            groups=groups,
        )

    def _listed_scores(self, rows: Sequence[PairRow], listed: Path) -> ProtocolScores:
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores

        for name in sorted(self.changed() & FOR_FACES):
            problem = f"{flag_of(type(self), name)} has no effect on scores that are in the list"
            raise CosfaceError(problem, listed, "leave it out")
        # each row without names has two sides that no other row has
        sides = [(row.left or f"{number} left", row.right or f"{number} right") for number, row in enumerate(rows, 1)]
        identities: dict[str, str] = {}
        for (left, right), row in zip(sides, rows, strict=True):
            identities.setdefault(left, row.left_identity)
            identities.setdefault(right, row.right_identity)
        number_of = {name: number for number, name in enumerate(identities)}
        pairs = PairScores(
            scores=np.array([math.nan if row.score is None else row.score for row in rows]),
            same=np.array([row.same for row in rows], bool),
            left=np.array([number_of[left] for left, _ in sides], np.int64),
            right=np.array([number_of[right] for _, right in sides], np.int64),
            names=tuple(identities),
            identities=tuple(identities.values()),
            fold=np.array([row.fold for row in rows], np.int64),
        )
        digest = file_sha256(listed)
        return ProtocolScores(
            model=ModelIdentity(name="as listed", id=""),
            data=digest,
            pairs=pairs,
            by_folds=pairs.folds > 1,
            missing_rule=self.missing,
            list_hash=digest,
            groups=self._groups(rows, listed),
        )

    def _groups(self, rows: Sequence[PairRow], listed: Path) -> Groups | None:
        from cosface_cli.verify.figures.subgroups import groups_of

        return None if self.groups is None else groups_of(rows, self.groups, listed)
