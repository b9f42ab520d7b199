"""Every pair of faces: those of one identity are genuine, all others impostors."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.engines.photos.photo_options import CropsTemplateOption
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, OnOutcome, Rejected
from cosface_cli.verify.faces import EmbeddingConfig, OneFaceOption
from cosface_cli.verify.protocols.protocol_config import AllowMissingOption, OptionsByField, PairsOption, ProtocolConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.engines.counting.pair_counts import PairCounts
    from cosface_cli.maths.bootstrap import Draws
    from cosface_cli.verify.faces.source import StoredFaces
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

CHUNK = 8192  # faces checked at a time
SLACK = 1.5  # impostor pairs for the bootstrap of a FAR, relative to the number of pairs that it accepts


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPairsConfig(EmbeddingConfig, ProtocolConfig):
    """All pairs of the faces in a store, read block by block, or in photos or crops, which are embedded first.

    With a list of pairs only the faces that it names are used. Faces without an identity are left out.
    """

    source: Path
    pairs: PairsOption = None
    crops_template: CropsTemplateOption = None
    faces: OneFaceOption = "center"
    allow_missing: AllowMissingOption = 0

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        from cosface_cli.verify.faces.open_faces import is_store

        return f"{source} is a store of embeddings" if options.get("pairs") is None and is_store(source) else None

    def allowed_missing(self) -> int | None:
        return self.allow_missing

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """Raises CosfaceError where there are not both genuine and impostor pairs."""
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.engines.counting.pair_counts import count_all_pairs
        from cosface_cli.maths.histogram import curve_of_bins
        from cosface_cli.verify.faces.open_faces import is_store
        from cosface_cli.verify.figures.protocol_scores import ProtocolScores
        from cosface_cli.verify.protocols.listed_pairs import names_in

        wanted = None if self.pairs is None else names_in(self.pairs)
        with ExitStack() as opened:
            read = self._stored if is_store(self.source) else self._embedded
            faces, data, missing = read(wanted, emit, opened)
            identities: dict[str, int] = {}
            codes = np.array([identities.setdefault(name, len(identities)) for name in faces.identities], np.int64)
            per_identity = np.bincount(codes)
            if per_identity.size < 2 or per_identity.max() < 2:
                problem = "all faces are of one identity" if per_identity.size == 1 else "no identity has two faces"
                raise CosfaceError(problem, self.source, "give each person a folder of several photos")
            counts = count_all_pairs(lambda start, stop: faces.read(np.arange(start, stop)), codes, emit, self.workers)
        emit(Done(str(self.source)))
        assert faces.model is not None
        return ProtocolScores(
            model=faces.model,
            data=data,
            curve=curve_of_bins(counts.genuine, counts.impostors),
            draws=_bootstrap(counts, per_identity),
            missing=missing,
            missing_rule="skip",
            list_hash=None if self.pairs is None else file_sha256(self.pairs),
            details={"faces": len(codes), "identities": int(per_identity.size)},
        )

    def _stored(
        self, wanted: Collection[str] | None, emit: OnOutcome, opened: ExitStack
    ) -> tuple[StoredFaces, str, tuple[str, ...]]:
        """The faces of a store, the hash of their files, and the names of those with a damaged embedding."""
        import numpy as np

        from cosface_cli.maths.unit_vectors import are_unit
        from cosface_cli.verify.faces.open_faces import open_store

        faces = opened.enter_context(open_store(self, self.source, self.crops_template)).stored_faces()
        listed = faces.subset(_named(faces.names, wanted))
        if several := len(listed) - len(set(listed.names)):
            emit(Note(f"{several} faces share their photo with another face; each counts for the person of its folder"))
        identified = listed.subset(np.flatnonzero([identity != "" for identity in listed.identities]))
        _note_unidentified(len(listed) - len(identified), emit)
        unit = np.zeros(len(identified), bool)
        for start in range(0, len(identified), CHUNK):
            chunk = np.arange(start, min(start + CHUNK, len(identified)))
            unit[chunk] = are_unit(identified.read(chunk))
        missing = tuple(identified.names[face] for face in np.flatnonzero(~unit))
        for name in missing:
            problem = f"{self.source}: the embedding of {name} is not of unit length; embed it again"
            emit(Rejected(name, "bad_embedding", problem))
        return identified.subset(np.flatnonzero(unit)), listed.data, missing

    def _embedded(
        self, wanted: Collection[str] | None, emit: OnOutcome, opened: ExitStack
    ) -> tuple[StoredFaces, str, tuple[str, ...]]:
        """The faces of photos or crops, the hash of their files, and the names of those without an embedding."""
        import numpy as np

        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.faces.source import StoredFaces, first_level, read_faces

        photos = opened.enter_context(open_faces(self, self.source, self.crops_template, emit))
        listed = [photos.names[number] for number in _named(photos.names, wanted)]
        names = [name for name in listed if first_level(name)]
        _note_unidentified(len(listed) - len(names), emit)
        table = read_faces(photos, names, emit)
        faces = StoredFaces(
            path=self.source,
            names=table.names,
            identities=tuple(map(first_level, table.names)),
            hashes=("",) * len(table.names),
            read=lambda numbers: table.vectors[numbers],
            model=photos.model,
        )
        return faces.subset(np.flatnonzero(table.usable)), table.data, table.missing


def _named(names: Collection[str], wanted: Collection[str] | None) -> NDArray[np.int64]:
    """The numbers of the photos that a list names, with or without ending; all photos if there is no list."""
    import numpy as np

    from cosface_cli.engines.photos.pair_photos import stem

    numbers = [n for n, name in enumerate(names) if wanted is None or name in wanted or stem(name) in wanted]
    return np.array(numbers, np.int64)


def _note_unidentified(count: int, emit: OnOutcome) -> None:
    if count:
        emit(Note(f"{count} faces are not in a person's folder and are left out"))


def _bootstrap(counts: PairCounts, per_identity: NDArray[np.int64]) -> Draws | None:
    """The bootstrap from all genuine pairs and the impostor pairs with the highest scores, for the FARs that these
    resolve."""
    import numpy as np

    from cosface_cli.maths.bootstrap import TruncatedPairs, affordable_draws, pair_draws, pairs_between
    from cosface_cli.verify.figures.protocol_figures import FARS

    genuine, top = counts.genuine_pairs, counts.top
    if genuine is None:
        return None
    total = int(counts.impostors.sum())
    complete = total == len(top.scores)
    reached = [far for far in FARS if far * total * SLACK <= len(top.scores) or complete]
    most = int(max(reached) * total * SLACK) + 1 if reached else 0
    highest = np.argsort(-top.scores, kind="stable")[: total if complete else most]
    scores = np.concatenate([genuine.scores, top.scores[highest]])
    draws = affordable_draws(len(scores))
    if not reached or not draws:
        return None
    same = np.arange(len(scores)) < len(genuine.scores)
    left = np.concatenate([genuine.left, top.left[highest]])
    right = np.concatenate([genuine.right, top.right[highest]])
    truncated = TruncatedPairs(per_identity.size, lambda weight: pairs_between(weight * per_identity))
    return pair_draws(scores, same, left, right, FARS, draws, truncated=truncated)
