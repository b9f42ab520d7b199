"""LFW (Huang 2007): View 2 by folds, View 1 by its development list, and every pair of people.txt's folds.

Source is the folder of photos, crops of it, or a store; the list is given, or lies in source as pairs.txt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cosface_cli.artifacts.lists.lfw_lists import PairList, is_people_list, read_pairs, read_people
from cosface_cli.artifacts.lists.pair_table import PairRow, list_kind
from cosface_cli.errors import CosfaceError
from cosface_cli.options import option
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.protocols.protocol_config import OptionsByField, PairListConfig

if TYPE_CHECKING:
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

STANDARD = (10, 600)  # folds of View 2, and pairs in each
LIST = "pairs.txt"
PHOTOS = "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class LfwConfig(PairListConfig):
    """The pairs of a list, or all pairs of the people of each fold."""

    dev_pairs: Annotated[
        Path | None,
        option(
            "View 1: the list that the threshold is chosen on.",
            unset="pairsDevTrain.txt beside pairsDevTest.txt",
            group="Protocol lfw",
        ),
    ] = None

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        pairs: Path | None = options.get("pairs")
        if pairs is None:
            return f"{LIST} lies in {source}" if (source / LIST).is_file() else None
        return f"{pairs.name} begins as LFW's lists do" if pairs.is_file() and list_kind(pairs) == "lfw" else None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """A list of one fold needs a development list to choose its threshold on. Raises CosfaceError without one."""
        from cosface_cli.verify.protocols.listed_pairs import find_list

        root, listed = find_list(self, LIST, PHOTOS)
        if not is_people_list(listed):
            return self._score_pairs(root, listed, emit)
        if self.dev_pairs is not None:
            raise CosfaceError("a list of people has no threshold to choose", listed, "leave --dev-pairs out")
        return self._score_people(root, listed, emit)

    def _score_pairs(self, root: Path, listed: Path, emit: OnOutcome) -> ProtocolScores:
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.figures.protocol_scores import ProtocolScores
        from cosface_cli.verify.protocols.listed_pairs import score_pairs

        test = read_pairs(listed)
        dev = self._dev_list(listed, test)
        if dev is None and (test.folds, test.per_fold) != STANDARD:
            words = f"{len(test.pairs)} pairs in {test.folds} folds: not the standard {STANDARD[0] * STANDARD[1]} in 10"
            emit(Note(words))
        test_rows, dev_rows = _rows(test), _rows(read_pairs(dev)) if dev is not None else []
        with open_faces(self, root, self.crops_template, emit) as faces:
            scores, table, missing = score_pairs(test_rows + dev_rows, faces, listed, emit)
        is_test = np.arange(len(test_rows) + len(dev_rows)) < len(test_rows)
        lists = {path.name: file_sha256(path) for path in (listed, dev) if path is not None}
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=scores.subset(is_test),
            by_folds=dev is None,
            dev=scores.subset(~is_test) if dev is not None else None,
            missing=missing,
            missing_rule=self.missing,
            list_hash=lists[listed.name],
            details={"view": 2 if dev is None else 1, "lists": lists},
        )

    def _dev_list(self, listed: Path, test: PairList) -> Path | None:
        if self.dev_pairs is not None:
            return self.dev_pairs
        if test.folds > 1:
            return None
        beside = listed.with_name(listed.name.replace("DevTest", "DevTrain"))
        if beside != listed and beside.is_file():
            return beside
        hint = "give --dev-pairs pairsDevTrain.txt (View 1), or a list of two or more folds"
        raise CosfaceError("one fold leaves nothing to choose its threshold on", listed, hint)

    def _score_people(self, root: Path, listed: Path, emit: OnOutcome) -> ProtocolScores:
        """Every pair of the photos of each fold's people, none across folds."""
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores, pair_cosines
        from cosface_cli.verify.protocols.listed_pairs import names_without_face, pictures_of, read_listed_faces

        people = read_people(listed)
        photos = [(name, person) for person in people for name in person.names]
        names = tuple(name for name, _ in photos)
        with open_faces(self, root, self.crops_template, emit) as faces:
            table, rows = read_listed_faces(faces, names, listed, emit)
        identities = tuple(person.name for _, person in photos)
        codes = np.unique(identities, return_inverse=True)[1]
        folds = np.array([person.fold for _, person in photos], np.int64)
        sides, counts = [], []
        for fold in np.unique(folds):
            of_fold = np.flatnonzero(folds == fold)
            one, other = np.triu_indices(len(of_fold), 1)
            sides.append((of_fold[one], of_fold[other]))
            genuine = int((codes[of_fold[one]] == codes[of_fold[other]]).sum())
            known = {"people": len(np.unique(codes[of_fold])), "photos": len(of_fold)}
            counts.append({"fold": int(fold), **known, "genuine": genuine, "impostors": len(one) - genuine})
        left, right = (np.concatenate([side[number] for side in sides]) for number in (0, 1))
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=PairScores(
                scores=pair_cosines(table.vectors, rows[left], rows[right]),
                same=codes[left] == codes[right],
                left=left,
                right=right,
                names=names,
                identities=identities,
                fold=folds[left],
                pictures=pictures_of(table, rows),
            ),
            missing=names_without_face(names, table, rows),
            missing_rule=self.missing,
            list_hash=file_sha256(listed),
            details={"view": 2 if len(counts) > 1 else 1, "unrestricted": counts},
        )


def _rows(listed: PairList) -> list[PairRow]:
    from cosface_cli.verify.faces.source import first_level

    return [
        PairRow(
            left=p.left,
            right=p.right,
            same=p.same,
            fold=p.fold,
            score=None,
            left_identity=first_level(p.left),
            right_identity=first_level(p.right),
        )
        for p in listed.pairs
    ]
