"""Labelled crops with their order and augmentation, from a crop folder or from packed files.

Order and augmentation depend only on (seed, epoch, index), so that a run can be resumed at any step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import Crop, open_crops
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.pictures import decode
from cosface_cli.engines.photos.warp import recrop, require_cover
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import Template
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.train.crops.augment import MIRRORED, Augmentation
from cosface_cli.train.crops.loader import Loader
from cosface_cli.train.crops.records import LabelledCrop, Packed, open_packed, packed_files
from cosface_cli.train.crops.sampling import SHUFFLED, Sampling
from cosface_cli.train.setup.randomness import Stream, generator

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

_AHEAD = 2  # batches that are read while the network works
_PIECE = 32  # crops that are read as one task


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The crops of one step."""

    images: Pixels
    """(B, H, W, 3) uint8 RGB."""
    labels: Labels
    """(B,) int64."""
    names: tuple[str, ...]
    """Names of the crops, relative to their folder or file."""


@dataclass(frozen=True, slots=True, eq=False)
class CropReader:
    """Reads and augments crops, in this process or in another one."""

    crops: Sequence[LabelledCrop]
    template: Template
    """The network's template."""
    seed: int
    augmentation: Augmentation

    def augmented(self, epoch: int, index: int) -> Pixels:
        """Crop `index` with the augmentation of that epoch."""
        crop = self.crops[index]
        image = recrop(read_crop(crop), crop.template, self.template, crop.landmarks)
        return self.augmentation(image, generator(Stream.AUGMENTATION, self.seed, epoch, index))

    def open(self) -> Callable[[tuple[int, Labels]], Pixels]:
        return self._read

    def _read(self, task: tuple[int, Labels]) -> Pixels:
        epoch, indices = task
        images = np.empty((len(indices), self.template.height, self.template.width, 3), np.uint8)
        for place, index in enumerate(indices):
            images[place] = self.augmented(epoch, int(index))
        return images


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelledCrops:
    """The crops of a training."""

    crops: Sequence[LabelledCrop]
    """In order of their names, or of their files."""
    labels: Labels
    """(N,) int64: index into identities."""
    identities: tuple[str, ...]
    """In order of their names or numbers."""
    template: Template
    """The network's template."""
    batch: int
    """Crops per step, by the settings."""
    seed: int
    sampling: Sampling = SHUFFLED
    augmentation: Augmentation = MIRRORED
    loader: Loader = field(default_factory=Loader)
    """Reads the crops; by default in a thread."""
    reader: CropReader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", CropReader(self.crops, self.template, self.seed, self.augmentation))

    @property
    def batch_size(self) -> int:
        """Crops per step."""
        return self.sampling.batch_size(len(self.crops), self.batch)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampling.steps(len(self.crops), self.batch)

    def order(self, epoch: int) -> Labels:
        """The crops of an epoch (steps * batch_size,), in order."""
        return self.sampling.order(self.labels, self.batch, generator(Stream.ORDER, self.seed, epoch))

    def augmented(self, epoch: int, index: int) -> Pixels:
        """Crop `index` with the augmentation of that epoch."""
        return self.reader.augmented(epoch, index)

    def batches(self, epoch: int, begin: int = 0, part: slice | Labels = slice(None)) -> Iterator[Batch]:
        """The batches of an epoch from the one numbered `begin`; the next ones are read in the background.

        part: the crops of each batch that this process takes.
        """
        order = self.order(epoch).reshape(self.steps, self.batch_size)[begin:, part]  # (steps left, B)
        pieces = -(-order.shape[1] // _PIECE)
        tasks = ((epoch, piece) for chosen in order for piece in np.array_split(chosen, pieces))
        read = self.loader.read(tasks, self.reader, _AHEAD * pieces)
        try:
            for chosen in order:
                images = [next(read) for _ in range(pieces)]
                names = tuple(self.crops[int(index)].name for index in chosen)
                yield Batch(images[0] if pieces == 1 else np.concatenate(images), self.labels[chosen], names)
        finally:
            read.close()

    def of_identities(self, chosen: NDArray[np.bool_]) -> LabelledCrops:
        """The crops of the identities where chosen (C,) is true. Their labels are numbered again, in order."""
        indices = np.flatnonzero(chosen[self.labels])
        crops: Sequence[LabelledCrop]
        if isinstance(self.crops, Packed):
            crops = self.crops.take(indices)
        else:
            crops = tuple(self.crops[int(index)] for index in indices)
        labels = (np.cumsum(chosen) - 1)[self.labels[indices]]
        names = tuple(name for name, is_chosen in zip(self.identities, chosen, strict=True) if is_chosen)
        return replace(self, crops=crops, labels=labels, identities=names)


def read_crop(crop: LabelledCrop) -> Pixels:
    """The pixels of a crop. Raises CosfaceError if it is not a picture, or not of its template's size."""
    image = decode(crop.read(), crop.display_name).image
    height, width = image.shape[:2]
    if (width, height) != (crop.template.width, crop.template.height):
        raise CosfaceError(
            f"is {width} x {height}, crops of template {crop.template.name} are "
            f"{crop.template.width} x {crop.template.height}",
            crop.display_name,
            "run cosface align on the photos",
        )
    return image


@dataclass(frozen=True, slots=True)
class Dropped:
    """Crops and identities that were left out."""

    loose: int
    """Crops outside of identity folders."""
    identities: int
    """Identities with fewer than min_images crops."""
    images: int
    """Crops of these identities."""


def label(
    source: Path | Sequence[Path],
    template_name: str | None,
    needed: Template,
    min_images: int,
    batch: int,
    seed: int,
    sampling: Sampling = SHUFFLED,
    augmentation: Augmentation = MIRRORED,
    emit: OnOutcome = ignore,
) -> tuple[LabelledCrops, Dropped]:
    """The labelled crops of a folder, whose first level is the identity, or of .rec or .tar files, which have labels.

    needed: the network's template; min_images: identities with fewer crops are left out. Raises CosfaceError for a
    folder without identity folders, for fewer than two identities, for crops that do not cover the template, and for a
    damaged file.
    """
    sources = (source,) if isinstance(source, Path) else tuple(source)
    root = sources[0]
    files = packed_files(sources)
    crops: Sequence[LabelledCrop]
    if files:
        crops, labels, identities = open_packed(files, template_name, emit)
        loose = 0
        require_cover(crops.template, needed, root)
        hint = "give files with more people"
    else:
        crops, labels, identities, loose = _of_folder(root, template_name, needed)
        hint = f"put crops of more people there, as {root / 'PERSON' / 'photo.jpg'}"
    data = LabelledCrops(
        crops=crops,
        labels=labels,
        identities=identities,
        template=needed,
        batch=batch,
        seed=seed,
        sampling=sampling,
        augmentation=augmentation,
    )
    counts = np.bincount(labels, minlength=len(identities))
    few = counts < min_images
    if few.any():
        data = data.of_identities(~few)
    if len(data.identities) < 2:
        enough = f" with {min_images} crops or more (--min-images)" if few.any() else ""
        raise CosfaceError(f"training needs at least two identities{enough}, got {len(data.identities)}", root, hint)
    sampling.check(len(data.identities), batch)
    return data, Dropped(loose, int(few.sum()), int(counts[few].sum()))


def _of_folder(
    root: Path, template_name: str | None, needed: Template
) -> tuple[tuple[Crop, ...], Labels, tuple[str, ...], int]:
    """The crops in order of their names, their labels, the identities in order of their names, and the number of crops
    outside of identity folders."""
    flat = CosfaceError(
        "the crops are not in identity folders",
        root,
        f"put them in one folder per person: {root / 'PERSON' / 'photo.jpg'}",
    )
    if root.is_dir() and any(root.iterdir()) and not any(path.is_dir() for path in root.iterdir()):
        raise flat  # before open_crops asks for the template: these may be photos
    all_crops = open_crops(root, template_name)
    for of_crops in {crop.template.name: crop.template for crop in all_crops}.values():
        require_cover(of_crops, needed, root)
    # sorted by name: the order of a directory depends on the file system
    crops = tuple(sorted((crop for crop in all_crops if crop.identity is not None), key=lambda crop: crop.name))
    if not crops:
        raise flat
    identities = tuple(sorted({str(crop.identity) for crop in crops}))
    place = {name: index for index, name in enumerate(identities)}
    labels = np.array([place[str(crop.identity)] for crop in crops], dtype=np.int64)
    return crops, labels, identities, len(all_crops) - len(crops)


def source_name(source: Path | Sequence[Path]) -> str:
    """A short name for a source, for messages."""
    if isinstance(source, Path):
        return str(source)
    return str(source[0]) if len(source) == 1 else f"{source[0]} and {len(source) - 1} more"


def fingerprint(data: LabelledCrops) -> str:
    """SHA-256 over the names of the crops and their origins: the photo's hash and the settings from the manifest, or
    the hash of the crop if there is no manifest. For packed files: over labels, offsets and some pictures."""
    digest = hashlib.sha256()
    if isinstance(data.crops, Packed):
        digest.update(data.labels.tobytes())
        for part in data.crops.fingerprint_parts():
            digest.update(part)
        return digest.hexdigest()
    for crop in data.crops:
        assert isinstance(crop, Crop)
        origin = f"{crop.record.hash} {crop.record.settings}" if crop.record else file_sha256(crop.path)
        digest.update(f"{crop.name}\0{crop.template.name}\0{origin}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
