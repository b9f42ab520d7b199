"""The photos of a list of pairs, each once, in a folder of photos or a crop folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import is_crop_folder, open_crops
from cosface_cli.artifacts.lists.lfw_lists import PairList, read_pairs
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.face_cutting import crop_of
from cosface_cli.engines.photos.photo_embedder import PhotoOrCrop
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.errors import CosfaceError, PhotoError
from cosface_cli.maths.geometry import Template, template
from cosface_cli.outcomes import Done, OnOutcome, Planned, Rejected


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairFiles:
    """The files of a list of P pairs."""

    inputs: tuple[PhotoOrCrop, ...]
    """The distinct photos."""
    names: tuple[str, ...]
    """Their names in the list."""
    left: NDArray[np.int64]
    """(P,): index into inputs; -1 where there is no such file."""
    right: NDArray[np.int64]
    """(P,)."""
    same: NDArray[np.bool_]
    """(P,): whether both show one person."""
    fold: NDArray[np.int64]
    """(P,): from 1."""
    absent: tuple[str, ...]
    """Names without a file."""
    listed: PairList
    """The list as read."""


def find_pair_files(pairs_file: Path, root: Path, crops_template: str | None = None) -> PairFiles:
    """The photos that a list of pairs names, under root.

    crops_template: where root is a folder of crops without a manifest, their template. Raises CosfaceError for a list
    that does not match its header, and where root has none of the photos.
    """
    listed = read_pairs(pairs_file)
    by_stem = {stem(name): item for name, item in reversed(named_inputs(root, crops_template).items())}
    names = dict.fromkeys(name for pair in listed.pairs for name in (pair.left, pair.right))
    inputs = {name: by_stem[name] for name in names if name in by_stem}
    if not inputs:
        first = next(iter(names))
        problem = f"it contains none of the photos of {pairs_file}, such as {first}.jpg"
        raise CosfaceError(problem, root, "give the folder that their names are relative to")
    place = {name: number for number, name in enumerate(inputs)}
    return PairFiles(
        inputs=tuple(inputs.values()),
        names=tuple(inputs),
        left=np.array([place.get(pair.left, -1) for pair in listed.pairs], np.int64),
        right=np.array([place.get(pair.right, -1) for pair in listed.pairs], np.int64),
        same=np.array([pair.same for pair in listed.pairs], bool),
        fold=np.array([pair.fold for pair in listed.pairs], np.int64),
        absent=tuple(name for name in names if name not in inputs),
        listed=listed,
    )


def named_inputs(root: Path, crops_template: str | None = None) -> dict[str, PhotoOrCrop]:
    """The photos or crops under root by name, in order; crops_template: see find_pair_files."""
    if crops_template is not None or is_crop_folder(root):
        return {crop.name: PhotoOrCrop(File(crop.path), crop) for crop in open_crops(root, crops_template)}
    return {item.name: PhotoOrCrop(item.place) for item in list_photos(str(root)).items}


def stem(name: str) -> str:
    """A name without its suffix."""
    return name.rpartition(".")[0] or name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairCrops:
    """The crops of a list of P pairs."""

    crops: NDArray[np.uint8]
    """(N, H, W, 3)."""
    left: NDArray[np.int64]
    """(P,): index into crops; -1 where there is none."""
    right: NDArray[np.int64]
    """(P,)."""
    same: NDArray[np.bool_]
    """(P,): whether both show one person."""
    fold: NDArray[np.int64]
    """(P,): from 1."""
    missing: tuple[str, ...]
    """Names without a usable face."""


@dataclass(frozen=True, slots=True)
class _CropOpener:
    template: Template

    def open(self) -> Callable[[PhotoOrCrop], NDArray[np.uint8] | PhotoError]:
        reader: list[Reader] = []

        def crop(item: PhotoOrCrop) -> NDArray[np.uint8] | PhotoError:
            try:
                if item.crop is not None:
                    return crop_of(item.place.read(), item.crop, self.template)
                if not reader:
                    reader.append(Reader(open_detector("mtcnn", 20), self.template, "center"))
                return reader[0].faces(item.place.read(), str(item.place))[1][0].crop
            except PhotoError as error:
                return error

        return crop


def load_pair_crops(pairs_file: Path, root: Path, need: Template, emit: OnOutcome) -> PairCrops:
    """The crops of a list of pairs in memory, at the template that a network needs. Emits photos without a face."""
    files = find_pair_files(pairs_file, root)
    for name in {item.crop.template.name for item in files.inputs if item.crop is not None}:
        require_cover(template(name), need, root)
    emit(Planned(len(files.inputs)))
    crops: list[NDArray[np.uint8]] = []
    place = np.full(len(files.inputs) + 1, -1, np.int64)  # its last element is for index -1
    missing = list(files.absent)
    for number, (item, crop) in enumerate(run(files.inputs, _CropOpener(need), cpu_count())):
        if isinstance(crop, PhotoError):
            missing.append(files.names[number])
            emit(Rejected(str(item.place), crop.reason, str(crop)))
        else:
            place[number] = len(crops)
            crops.append(crop)
            emit(Done(str(item.place)))
    if not crops:
        raise CosfaceError("no face was found in any photo of the list", root, "check the photos")
    return PairCrops(
        crops=np.stack(crops),
        left=place[files.left],
        right=place[files.right],
        same=files.same,
        fold=files.fold,
        missing=tuple(sorted(missing)),
    )
