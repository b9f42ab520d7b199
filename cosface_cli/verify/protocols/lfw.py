"""LFW (Huang 2007): View 2 by folds, View 1 by its development list, and every pair of people.txt's folds.

Source is the folder of photos, crops of it, or a store; the list is given, or lies in source as pairs.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.lists.lfw_lists import PairList, is_people_list, read_pairs, read_people
from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import open_faces
from cosface_cli.verify.figures.pair_scores import PairScores, Scored, pair_cosines
from cosface_cli.verify.protocols.listed_pairs import first_level, places, score_pairs

STANDARD = (10, 600)  # folds of View 2, and pairs in each
LIST = "pairs.txt"
PHOTOS = "images"


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The pairs of a list, or all pairs of the people of each fold.

    A list of one fold needs another to choose its threshold on: dev_pairs, or View 1's pairsDevTrain.txt beside
    pairsDevTest.txt. Raises CosfaceError without one.
    """
    root, listed = places(config, LIST, PHOTOS)
    if is_people_list(listed):
        if config.dev_pairs is not None:
            raise CosfaceError("a list of people has no threshold to choose", listed, "leave --dev-pairs out")
        return _unrestricted(config, root, listed, emit)
    test = read_pairs(listed)
    dev = _dev(config, listed, test)
    if dev is None and (test.folds, test.per_fold) != STANDARD:
        words = f"{len(test.pairs)} pairs in {test.folds} folds: not the standard {STANDARD[0] * STANDARD[1]} in 10"
        emit(Note(words))
    faces = open_faces(config, root)
    own = _pairs(test)
    tried = _pairs(read_pairs(dev)) if dev is not None else []
    scores, embedded, missing = score_pairs(own + tried, faces, listed, root, emit)
    first = np.arange(len(own) + len(tried)) < len(own)
    used = {listed.name: file_sha256(listed)} | ({dev.name: file_sha256(dev)} if dev is not None else {})
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=scores.chosen(first),
        by_folds=dev is None,
        dev=scores.chosen(~first) if dev is not None else None,
        missing=missing,
        list_hash=used[listed.name],
        details={"view": 2 if dev is None else 1, "lists": used},
    )


def _dev(config: ProtocolConfig, listed: Path, test: PairList) -> Path | None:
    if config.dev_pairs is not None:
        return config.dev_pairs
    if test.folds > 1:
        return None
    beside = listed.with_name(listed.name.replace("DevTest", "DevTrain"))
    if beside != listed and beside.is_file():
        return beside
    hint = "give --dev-pairs pairsDevTrain.txt (View 1), or a list of two or more folds"
    raise CosfaceError("one fold leaves nothing to choose its threshold on", listed, hint)


def _pairs(listed: PairList) -> list[PairRow]:
    return [
        PairRow(p.left, p.right, p.same, p.fold, None, first_level(p.left), first_level(p.right)) for p in listed.pairs
    ]


def _unrestricted(config: ProtocolConfig, root: Path, listed: Path, emit: OnOutcome) -> Scored:
    """Every pair of the photos of each fold's people, none across folds."""
    people = read_people(listed)
    faces = open_faces(config, root)
    photos = [(name, person) for person in people for name in person.names]
    found = [faces.find(name) for name, _ in photos]
    wanted = tuple(name for name in found if name is not None)
    if not wanted:
        problem = f"none of the photos of {listed} are here, as {photos[0][0] if photos else 'nobody'}"
        raise CosfaceError(problem, root, "give their root folder")
    embedded = faces.embed(wanted, emit)
    rows = np.cumsum([name is not None for name in found]) - 1
    rows[[name is None for name in found]] = -1
    identities = tuple(person.name for _, person in photos)
    who = np.unique(identities, return_inverse=True)[1]
    folds = np.array([person.fold for _, person in photos], np.int64)
    sides, counts = [], []
    for fold in np.unique(folds):
        here = np.flatnonzero(folds == fold)
        one, other = np.triu_indices(len(here), 1)
        sides.append((here[one], here[other]))
        genuine = int((who[here[one]] == who[here[other]]).sum())
        known = {"people": len(np.unique(who[here])), "photos": len(here)}
        counts.append({"fold": int(fold), **known, "genuine": genuine, "impostors": len(one) - genuine})
    left = np.concatenate([side[0] for side in sides])
    right = np.concatenate([side[1] for side in sides])
    scores = PairScores(
        scores=pair_cosines(embedded.vectors, rows[left], rows[right]),
        same=who[left] == who[right],
        left=left,
        right=right,
        names=tuple(name for name, _ in photos),
        identities=identities,
        fold=folds[left],
        shown=tuple((embedded.shown[row],) if row >= 0 else () for row in rows),
    )
    lost = set(embedded.missing)
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=scores,
        missing=tuple(name for (name, _), there in zip(photos, found, strict=True) if there is None or there in lost),
        list_hash=file_sha256(listed),
        details={"view": 2 if len(counts) > 1 else 1, "unrestricted": counts},
    )
