"""IJB-B and IJB-C (Whitelam 2017, Maze 2018): templates of photos and video frames, 1:1, and 1:N in the open set.

Source is a store of the set's photos, or its folder with meta/ and loose_crop/; the meta files' folder may be named.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cosface_cli.errors import CosfaceError
from cosface_cli.options import option
from cosface_cli.outcomes import OnOutcome
from cosface_cli.verify.protocols.protocol_config import OptionsByField, PairListConfig

if TYPE_CHECKING:
    from cosface_cli.artifacts.lists.ijb_meta import Points
    from cosface_cli.verify.faces.source import FaceSource
    from cosface_cli.verify.figures.protocol_scores import ProtocolScores


@dataclass(frozen=True, slots=True, kw_only=True)
class IjbConfig(PairListConfig):
    """The pairs of templates, and the searches where there are lists of galleries and probes.

    `pairs` is the folder of the meta files. Faces are cut out by the landmarks of the meta files, where there are some
    and source holds photos.
    """

    weight_by_detector: Annotated[
        bool, option("Weight each photo of a template by the detector's score.", group="Protocol ijb")
    ] = False

    @staticmethod
    def recognises(source: Path, options: OptionsByField) -> str | None:
        from cosface_cli.artifacts.lists.ijb_meta import MEDIA

        for folder in (options.get("pairs"), source / "meta", source):
            if folder is not None and folder.is_dir() and any(folder.glob(f"*{MEDIA}")):
                return f"meta files of IJB lie in {folder}"
        return None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        import numpy as np

        from cosface_cli.artifacts.files.hashing import file_sha256
        from cosface_cli.artifacts.lists.ijb_meta import find_meta, read_media, read_points
        from cosface_cli.verify.figures.protocol_scores import ProtocolScores
        from cosface_cli.verify.protocols.ijb.searches import search_galleries
        from cosface_cli.verify.protocols.ijb.templates import read_templates, score_template_pairs
        from cosface_cli.verify.protocols.listed_pairs import read_listed_faces

        root, folder = self.places()
        meta = find_meta(folder)
        media = read_media(meta.media)
        points = read_points(meta.points) if meta.points is not None else None
        with self._open_faces(root, points, emit) as faces:
            table, rows = read_listed_faces(faces, media.names, meta.media, emit)
        weights = np.ones(len(rows))
        if self.weight_by_detector:
            weights = np.array([points.scores.get(n, 0.0) for n in media.names]) if points else table.scores[rows]
            if not weights.any():
                raise CosfaceError("no face has a detection score", self.source, "leave --weight-by-detector out")
        templates = read_templates(media, table, rows, weights)
        pairs = None if meta.pairs is None else score_template_pairs(meta, templates)
        if pairs is None and (meta.probes is None or not meta.galleries):
            problem = "neither pairs of templates nor galleries and probes in this folder"
            raise CosfaceError(problem, folder, "get the set's meta files again")
        hashes = {path.name: file_sha256(path) for path in meta.all}
        return ProtocolScores(
            model=faces.model,
            data=table.data,
            pairs=pairs,
            missing=tuple(f"template {number}" for number in templates.numbers[np.isnan(templates.vectors[:, 0])]),
            missing_rule=self.missing,
            list_hash=hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
            identification=search_galleries(meta, templates, self.missing),
            details={
                "set": meta.name,
                "templates": len(templates.numbers),
                "media": len(set(zip(media.templates.tolist(), media.media.tolist(), strict=True))),
                "photos": len(media.names),
                "photos_without_face": len(set(media.names)) - int(table.usable.sum()),
                "flags": {"N": False, "D": self.weight_by_detector, "F": (faces.model.flip or "none") != "none"},
                "lists": hashes,
            },
        )

    def places(self) -> tuple[Path, Path]:
        """The photos' root and the folder of the meta files."""
        if self.pairs is not None:
            return self.source, self.pairs
        root, meta = self.source / "loose_crop", self.source / "meta"
        return (root if root.is_dir() else self.source), (meta if meta.is_dir() else self.source)

    def _open_faces(self, root: Path, points: Points | None, emit: OnOutcome) -> FaceSource:
        from cosface_cli.engines.photos.pair_photos import named_inputs
        from cosface_cli.verify.faces.open_faces import is_store, open_faces, open_inputs

        if points is None or is_store(root) or self.crops_template is not None:
            return open_faces(self, root, self.crops_template, emit)
        inputs = named_inputs(root)
        if all(item.crop is None for item in inputs.values()):
            inputs = {name: replace(item, landmarks=points.landmarks.get(name)) for name, item in inputs.items()}
        return open_inputs(self, root, inputs, emit)
