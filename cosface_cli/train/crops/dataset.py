"""Labelled crops as training sees them: which, in which order, seen how; from a crop folder or from packed files.

Order and augmentation are functions of (seed, epoch, index) alone, so that a run can go on from any step.
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
from cosface_cli.train.randomness import Stream, generator

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

_AHEAD = 2  # batches that are read while the network works
_PIECE = 32  # crops that are read in one go


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """images: (B, H, W, 3) uint8 RGB; labels: (B,) int64; names: the crops', relative to their folder or file."""

    images: Pixels
    labels: Labels
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CropReader:
    """How crops are seen, as a process of its own can do it."""

    crops: Sequence[LabelledCrop]
    template: Template
    seed: int
    augmentation: Augmentation

    def look(self, epoch: int, index: int) -> Pixels:
        """Crop `index` as an epoch sees it."""
        crop = self.crops[index]
        image = recrop(read_crop(crop), crop.template, self.template, crop.landmarks)
        return self.augmentation(image, generator(Stream.AUGMENTATION, self.seed, epoch, index))

    def open(self) -> Callable[[tuple[int, Labels]], Pixels]:
        return self._read

    def _read(self, task: tuple[int, Labels]) -> Pixels:
        epoch, indices = task
        images = np.empty((len(indices), self.template.height, self.template.width, 3), np.uint8)
        for place, index in enumerate(indices):
            images[place] = self.look(epoch, int(index))
        return images


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """crops: in order of their names, or as their files have them; labels: (N,) int64, the place of the identity in
    identities, which are in order of their names or numbers; template: as which the network sees them; batch: crops a
    step; loader: who reads them, one thread where nothing else is said."""

    crops: Sequence[LabelledCrop]
    labels: Labels
    identities: tuple[str, ...]
    template: Template
    batch: int
    seed: int
    sampling: Sampling = SHUFFLED
    augmentation: Augmentation = MIRRORED
    loader: Loader = field(default_factory=Loader)
    reader: CropReader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", CropReader(self.crops, self.template, self.seed, self.augmentation))

    @property
    def batch_size(self) -> int:
        """Crops a step, as the sampling has them."""
        return self.sampling.batch_size(len(self.crops), self.batch)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampling.steps(len(self.crops), self.batch)

    def order(self, epoch: int) -> Labels:
        """The crops that an epoch sees, (steps * batch_size,), in their order."""
        return self.sampling.order(self.labels, self.batch, generator(Stream.ORDER, self.seed, epoch))

    def look(self, epoch: int, index: int) -> Pixels:
        """Crop `index` as an epoch sees it."""
        return self.reader.look(epoch, index)

    def batches(self, epoch: int, begin: int = 0, part: slice | Labels = slice(None)) -> Iterator[Batch]:
        """The batches of an epoch from the one numbered `begin`, the next ones read in the background.

        part: which of a batch's crops are wanted, for one of several that share it.
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

    def of_identities(self, kept: NDArray[np.bool_]) -> LabelledCrops:
        """The same with some identities only, (C,), which are numbered anew in their order."""
        chosen = np.flatnonzero(kept[self.labels])
        crops = self.crops
        some = crops.take(chosen) if isinstance(crops, Packed) else tuple(crops[int(index)] for index in chosen)
        labels = (np.cumsum(kept) - 1)[self.labels[chosen]]
        names = tuple(name for name, is_kept in zip(self.identities, kept, strict=True) if is_kept)
        return replace(self, crops=some, labels=labels, identities=names)


def read_crop(crop: LabelledCrop) -> Pixels:
    """The pixels of a crop. Raises CosfaceError where it is no picture, or not of its template's size."""
    image = decode(crop.read(), crop.given).image
    height, width = image.shape[:2]
    if (width, height) != (crop.template.width, crop.template.height):
        raise CosfaceError(
            f"is {width} x {height}, crops of template {crop.template.name} are "
            f"{crop.template.width} x {crop.template.height}",
            crop.given,
            "run cosface align on the photos",
        )
    return image


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was left out: crops outside of identity folders; identities under min_images and their crops."""

    loose: int
    identities: int
    images: int


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
    """The crops of a folder, whose first level is the identity, or of .rec or .tar files, with their own labels.

    needed: the network's template; min_images: identities with fewer crops are left out. Raises CosfaceError for a
    folder without identity folders, for fewer than two identities, for crops that show too little, for a damaged file.
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
    data = LabelledCrops(crops, labels, identities, needed, batch, seed, sampling, augmentation)
    counts = np.bincount(labels, minlength=len(identities))
    few = counts < min_images
    if few.any():
        data = data.of_identities(~few)
    if len(data.identities) < 2:
        enough = f" with {min_images} crops or more (--min-images)" if few.any() else ""
        raise CosfaceError(
            f"training needs two identities or more, here are {len(data.identities)}{enough}", root, hint
        )
    sampling.check(len(data.identities), batch)
    return data, Dropped(loose, int(few.sum()), int(counts[few].sum()))


def _of_folder(
    root: Path, template_name: str | None, needed: Template
) -> tuple[tuple[Crop, ...], Labels, tuple[str, ...], int]:
    """Crops in order of their names, their labels, the identities in order of theirs; and crops of nobody."""
    flat = CosfaceError(
        "the crops are not in identity folders",
        root,
        f"put them in one folder a person: {root / 'PERSON' / 'photo.jpg'}",
    )
    if root.is_dir() and any(root.iterdir()) and not any(path.is_dir() for path in root.iterdir()):
        raise flat  # before open_crops asks for the template of what may be photos yet
    found = open_crops(root, template_name)
    for have in {crop.template.name: crop.template for crop in found}.values():
        require_cover(have, needed, root)
    # sorted by name: the order of a directory differs from one file system to the next
    crops = tuple(sorted((crop for crop in found if crop.identity is not None), key=lambda crop: crop.name))
    if not crops:
        raise flat
    identities = tuple(sorted({str(crop.identity) for crop in crops}))
    place = {name: index for index, name in enumerate(identities)}
    labels = np.array([place[str(crop.identity)] for crop in crops], dtype=np.int64)
    return crops, labels, identities, len(found) - len(crops)


def source_name(source: Path | Sequence[Path]) -> str:
    """A source in a few words."""
    if isinstance(source, Path):
        return str(source)
    return str(source[0]) if len(source) == 1 else f"{source[0]} and {len(source) - 1} more"


def fingerprint(data: LabelledCrops) -> str:
    """SHA-256 over the names of the crops and what they were made of: the photo's hash and the settings from the
    manifest, or the crop's own hash where there is none; of packed files over labels, places and some pictures."""
    digest = hashlib.sha256()
    if isinstance(data.crops, Packed):
        digest.update(data.labels.tobytes())
        for part in data.crops.made_of():
            digest.update(part)
        return digest.hexdigest()
    for crop in data.crops:
        assert isinstance(crop, Crop)
        made_of = f"{crop.record.hash} {crop.record.settings}" if crop.record else file_sha256(crop.path)
        digest.update(f"{crop.name}\0{crop.template.name}\0{made_of}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
