"""Any list of pairs with named columns: photos, crops or a store under a root, or scores that are there already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.lists.pair_table import PairRow, read_pair_rows
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify import ProtocolConfig, flag_of
from cosface_cli.verify.faces.by_name import open_faces
from cosface_cli.verify.figures.pair_scores import PairScores, Scored
from cosface_cli.verify.figures.subgroups import groups_of
from cosface_cli.verify.protocols.listed_pairs import guess_identities, score_pairs


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The pairs of a list; with folds in it, accuracy by folds.

    Source is the root of the photos and the list is given, or source is the list, whose names start at its folder.
    A list with scores is taken at its word: nothing is embedded, and a row without one has none.
    """
    listed = config.source if config.pairs is None else config.pairs
    rows = read_pair_rows(listed)
    if any(row.same is None for row in rows):
        raise CosfaceError("not every row says whether the two are the same", listed, "give it a column same, 1 or 0")
    if any(row.score is not None for row in rows) and config.pairs is None:
        return _given(rows, listed, config)
    if not all(row.left for row in rows):
        raise CosfaceError("not every row names two photos", listed, "name them, or give the list alone")
    if any(row.score is not None for row in rows):
        emit(Note(f"{listed.name}: its scores are left aside, the faces are embedded"))
    root = listed.parent if config.pairs is None else config.source
    faces = open_faces(config, root)
    groups = None if config.groups is None else groups_of(rows, config.groups, listed)
    scores, embedded, missing = score_pairs(guess_identities(rows), faces, listed, root, emit)
    by_folds = scores.folds > 1
    if not by_folds:
        emit(Note("one fold only: no accuracy, since nothing is left to choose its threshold on"))
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=scores,
        by_folds=by_folds,
        missing=missing,
        list_hash=file_sha256(listed),
        groups=groups,
    )


def _given(rows: Sequence[PairRow], listed: Path, config: ProtocolConfig) -> Scored:
    for option in sorted(
        config.changed() & {"models", "fuse", "flip", "crops_template", "detector", "faces", "min_face"}
    ):
        problem = f"the scores are in the list: {flag_of(option)} changes nothing"
        raise CosfaceError(problem, listed, "leave it out")
    groups = None if config.groups is None else groups_of(rows, config.groups, listed)
    pairs = guess_identities(rows)
    # rows without names have two sides of their own
    sides = [(pair.left or f"{number} left", pair.right or f"{number} right") for number, pair in enumerate(pairs, 1)]
    identities: dict[str, str] = {}
    for (left, right), pair in zip(sides, pairs, strict=True):
        identities.setdefault(left, pair.left_identity)
        identities.setdefault(right, pair.right_identity)
    place = {name: number for number, name in enumerate(identities)}
    scores = PairScores(
        scores=np.array([math.nan if row.score is None else row.score for row in rows]),
        same=np.array([pair.same for pair in pairs], bool),
        left=np.array([place[left] for left, _ in sides], np.int64),
        right=np.array([place[right] for _, right in sides], np.int64),
        names=tuple(identities),
        identities=tuple(identities.values()),
        fold=np.array([pair.fold for pair in pairs], np.int64),
    )
    digest = file_sha256(listed)
    by_folds = scores.folds > 1
    return Scored("as listed", "", "none", digest, pairs=scores, by_folds=by_folds, list_hash=digest, groups=groups)
