"""InsightFace's .bin sets (lfw, cfp_fp, agedb_30): aligned pairs in one file, in ten folds as its code cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.engines.photos.photo_options import (
    CropsTemplateOption,
    FlipOption,
    FusedModelsOption,
    FuseOption,
    WorkersOption,
)
from cosface_cli.errors import CosfaceError
from cosface_cli.options import check
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify.faces import DEFAULT_MODELS, EmbeddingConfig
from cosface_cli.verify.protocols.protocol_config import (
    AllowMissingOption,
    MissingOption,
    OptionsByField,
    ProtocolConfig,
    ScoresOption,
    check_missing,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.verify.figures.protocol_scores import ProtocolScores

FOLDS = 10
TEMPLATE = "arcface"  # of every set that InsightFace publishes


@dataclass(frozen=True, slots=True, kw_only=True)
class BinConfig(ProtocolConfig):
    """The pairs of a set. Its images are arcface crops, unless crops_template says otherwise."""

    source: Path
    models: FusedModelsOption = ()
    fuse: FuseOption = "mean"
    flip: FlipOption = "none"
    crops_template: CropsTemplateOption = None
    missing: MissingOption = "error"
    allow_missing: AllowMissingOption = 0
    scores: ScoresOption = None
    workers: WorkersOption = 0

    def __post_init__(self) -> None:
        check(self)
        check_missing(self.missing, self.allow_missing)

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        from cosface_cli.artifacts.packed.face_bin import is_pickle

        is_set = options.get("pairs") is None and source.is_file() and is_pickle(source)
        return f"{source} begins as InsightFace's sets do" if is_set else None

    def allowed_missing(self) -> int | None:
        return None if self.missing == "skip" else self.allow_missing

    def scores_file(self) -> Path | None:
        return self.scores

    def score(self, emit: OnOutcome) -> ProtocolScores:
        """Raises CosfaceError for a file that is not a set, and for a model that needs more than its crops show."""
        import numpy as np

        from cosface_cli.artifacts.crops.manifest import Crop
        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.artifacts.packed.face_bin import read_face_bin
        from cosface_cli.engines.embedders.open_embedder import open_embedder
        from cosface_cli.engines.photos.photo_embedder import PhotoOrCrop
        from cosface_cli.maths.geometry import covers, template
        from cosface_cli.verify.faces.photos import PhotoFaces
        from cosface_cli.verify.faces.source import read_faces
        from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores, pair_cosines

        content = read_face_bin(self.source)
        crop_template = template(self.crops_template or TEMPLATE)
        for needed in (open_embedder(spec).template for spec in self.models or DEFAULT_MODELS):
            if not covers(crop_template, template(needed)):
                problem = f"crops of template {crop_template.name!r} do not show all that template {needed!r} needs"
                raise CosfaceError(problem, self.source, f"give a --model for {crop_template.name} crops")
        inputs = {
            f"{number:06}": PhotoOrCrop(image, Crop(Path(str(image)), f"{number:06}", crop_template))
            for number, image in enumerate(content.images)
        }
        embedding = EmbeddingConfig(models=self.models, fuse=self.fuse, flip=self.flip, workers=self.workers)
        faces = PhotoFaces(self.source, inputs, embedding)
        table = read_faces(faces, faces.names, emit)
        count = len(content.same)
        left, right = np.arange(count) * 2, np.arange(count) * 2 + 1
        names = tuple(str(image) for image in content.images)
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=PairScores(
                scores=pair_cosines(table.vectors, left, right),
                same=np.array(content.same, bool),
                left=left,
                right=right,
                names=names,
                identities=("",) * len(names),
                fold=consecutive_folds(count, min(FOLDS, count)),
                pictures=tuple((picture,) for picture in table.pictures),
            ),
            by_folds=count > 1,
            missing=tuple(name for name, usable in zip(names, table.usable, strict=True) if not usable),
            missing_rule=self.missing,
            list_hash=file_sha256(self.source),
            details={"set": self.source.stem, "template": crop_template.name},
        )


def consecutive_folds(count: int, folds: int) -> NDArray[np.int64]:
    """The fold, from 1, of each of `count` pairs in their order; the first folds have one more if they must."""
    import numpy as np

    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return np.repeat(np.arange(1, folds + 1), sizes)
