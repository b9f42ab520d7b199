"""InsightFace's .bin sets (lfw, cfp_fp, agedb_30): aligned pairs in one file, in ten folds as its rule cuts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.packed.face_bin import read_face_bin
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.photos.face_vectors import Input
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import covers, template
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify import DEFAULT, ProtocolConfig, flag_of
from cosface_cli.verify.faces.by_name import InputFaces
from cosface_cli.verify.figures.pair_scores import PairScores, Scored, pair_cosines

FOLDS = 10
TEMPLATE = "arcface"  # of every set that InsightFace publishes
NOT_HERE = ("pairs", "detector", "faces", "min_face")


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The pairs of a set. crops_template: of its images, where it is not arcface.

    Raises CosfaceError for a file that is no set, and for a model whose crops show more than these.
    """
    path = config.source
    for option in sorted(config.changed() & set(NOT_HERE)):
        problem = f"the set has its own pairs and crops: {flag_of(option)} changes nothing"
        raise CosfaceError(problem, path, "leave it out")
    found = read_face_bin(path)
    have = template(config.crops_template or TEMPLATE)
    for need in (open_embedder(spec).template for spec in config.models or DEFAULT):
        if not covers(have, template(need)):
            problem = f"crops of template {have.name!r} do not show all that a network of template {need!r} needs"
            raise CosfaceError(problem, path, f"take a --model for {have.name} crops")
    crops = {
        f"{number:06}": Input(image, Crop(Path(str(image)), f"{number:06}", have))
        for number, image in enumerate(found.images)
    }
    faces = InputFaces(crops, config)
    embedded = faces.embed(faces.names, emit)
    count = len(found.same)
    left, right = np.arange(count) * 2, np.arange(count) * 2 + 1
    scores = PairScores(
        scores=pair_cosines(embedded.vectors, left, right),
        same=np.array(found.same, bool),
        left=left,
        right=right,
        names=tuple(str(image) for image in found.images),
        identities=("",) * len(found.images),
        fold=consecutive_folds(count, min(FOLDS, count)),
        shown=tuple((one,) for one in embedded.shown),
    )
    lost = set(embedded.missing)
    return Scored(
        faces.model,
        faces.model_id,
        faces.flip,
        embedded.data,
        pairs=scores,
        by_folds=count > 1,
        missing=tuple(str(image) for name, image in zip(faces.names, found.images, strict=True) if name in lost),
        list_hash=file_sha256(path),
        details={"set": path.stem, "template": have.name},
    )


def consecutive_folds(count: int, folds: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The fold, from 1, of each of so many pairs in their order; the first folds are larger by one where it must be."""
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return np.repeat(np.arange(1, folds + 1), sizes)
