"""Faces whose embeddings are MegaFace's feature files, one file per face below a folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import make_folder
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.packed.feature_bin import find_features, read_feature, write_feature
from cosface_cli.errors import CosfaceError
from cosface_cli.verify.faces.source import StoredFaces

ALGORITHM = "cosface"  # part of the names of written files


def read_features(folder: Path) -> StoredFaces:
    """The feature files below a folder; the folder of each file names the person."""
    by_name = find_features(folder)
    files = list(by_name.values())
    size = read_feature(files[0]).size

    def read_one(number: int) -> NDArray[np.float32]:
        vector = read_feature(files[number])
        if vector.size != size:
            problem = f"a vector of {vector.size} numbers, {files[0].name} has {size}"
            raise CosfaceError(problem, files[number], "use features of one model")
        return vector

    return StoredFaces(
        path=folder,
        names=tuple(by_name),
        identities=tuple(name.rpartition("/")[0] for name in by_name),
        hashes=tuple(file_sha256(file) for file in files),
        read=lambda faces: np.stack([read_one(face) for face in faces]),
        model=None,
        normalized=False,
    )


def write_features(faces: StoredFaces, folder: Path) -> int:
    """Write each embedding as a feature file below a new or empty folder; returns the number of files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CosfaceError("the folder for features is not empty", folder, "name a new folder")
    for number, name in enumerate(faces.names):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.name:
            raise CosfaceError(f"the name {name!r} leads out of its folder", faces.path, "embed the photos again")
        target = folder / f"{name}_{ALGORITHM}.bin"
        make_folder(target.parent)
        write_feature(target, faces.take(np.array([number]))[0])
    return len(faces)
