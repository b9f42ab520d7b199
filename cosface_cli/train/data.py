"""The crop folder as a labelled data set: which crops, in which order, seen how.

Order and augmentation are functions of (seed, epoch, index) alone, so that a run can go on from any step.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops import Crop, open_crops
from cosface_cli.artifacts.model_cache import file_sha256
from cosface_cli.artifacts.photos import decode_file
from cosface_cli.engines.warp import recrop, require_cover
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import Template

Pixels = NDArray[np.uint8]

_SHIFT = 4  # pixels at most, each way
_AHEAD = 2  # batches that are read while the network works
_ORDER, _LOOK = 0, 1  # two streams of random numbers from one seed


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """images: (B, H, W, 3) uint8 RGB; labels: (B,) int64; names: the crops', relative to their folder."""

    images: Pixels
    labels: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """crops: in order of their names; labels: (N,) int64, the place of the identity in identities, which are in
    order of their names; template: as which the network sees them."""

    crops: tuple[Crop, ...]
    labels: NDArray[np.int64]
    identities: tuple[str, ...]
    template: Template
    batch: int
    seed: int

    @property
    def batch_size(self) -> int:
        """Crops a step: the batch that was asked for, or all of them where they are fewer."""
        return min(self.batch, len(self.crops))

    @property
    def steps(self) -> int:
        """Steps of an epoch. What does not fill the last batch is left out: others in each epoch."""
        return len(self.crops) // self.batch_size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order (N,) in which an epoch sees the crops."""
        return np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.crops))

    def look(self, epoch: int, index: int) -> Pixels:
        """Crop `index` as an epoch sees it: mirrored or not, moved by a few pixels."""
        crop = self.crops[index]
        image = recrop(read_crop(crop), crop.template, self.template, crop.landmarks)
        return augmented(image, np.random.default_rng([self.seed, _LOOK, epoch, index]))

    def batches(self, epoch: int, begin: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the one numbered `begin`, the next ones read in the background."""
        order = self.order(epoch)
        size = self.batch_size

        def read(position: int) -> Batch:
            chosen = order[position * size : (position + 1) * size]
            images = np.stack([self.look(epoch, int(index)) for index in chosen])
            return Batch(images, self.labels[chosen], tuple(self.crops[index].name for index in chosen))

        with ThreadPoolExecutor(_AHEAD, "crops") as readers:
            ahead = [readers.submit(read, position) for position in range(begin, min(begin + _AHEAD, self.steps))]
            try:
                for position in range(begin, self.steps):
                    batch = ahead.pop(0).result()
                    if position + _AHEAD < self.steps:
                        ahead.append(readers.submit(read, position + _AHEAD))
                    yield batch
            finally:
                readers.shutdown(cancel_futures=True)


def augmented(image: Pixels, draw: np.random.Generator) -> Pixels:
    """A crop (H, W, 3) mirrored half of the time (Wang 2018, section 4.1) and moved by up to 4 pixels each way."""
    if draw.random() < 0.5:
        image = image[:, ::-1]
    down, right = draw.integers(0, 2 * _SHIFT + 1, size=2)
    room = np.pad(image, ((_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="edge")
    return room[down : down + image.shape[0], right : right + image.shape[1]]


def read_crop(crop: Crop) -> Pixels:
    """The pixels of a crop. Raises CosfaceError where it is no picture, or not of its template's size."""
    image = decode_file(crop.path)
    height, width = image.shape[:2]
    if (width, height) != (crop.template.width, crop.template.height):
        raise CosfaceError(
            f"is {width} x {height}, crops of template {crop.template.name} are "
            f"{crop.template.width} x {crop.template.height}",
            crop.path,
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
    root: Path, template_name: str | None, needed: Template, min_images: int, batch: int, seed: int
) -> tuple[LabelledCrops, Dropped]:
    """The crops of a folder with the identity of each, which is its first folder level.

    needed: the network's template; min_images: identities with fewer crops are left out. Raises CosfaceError for a
    folder without identity folders, with fewer than two identities, or with crops that show too little.
    """
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
    named = [crop for crop in found if crop.identity is not None]
    if not named:
        raise flat
    images_of = Counter(crop.identity for crop in named)
    few = {name for name, count in images_of.items() if count < min_images}
    kept = sorted((crop for crop in named if crop.identity not in few), key=lambda crop: crop.name)
    # sorted by name: the order of a directory differs from one file system to the next
    identities = tuple(sorted({str(crop.identity) for crop in kept}))
    if len(identities) < 2:
        enough = f" with {min_images} crops or more (--min-images)" if few else ""
        raise CosfaceError(
            f"training needs two identities or more, here are {len(identities)}{enough}",
            root,
            f"put crops of more people there, as {root / 'PERSON' / 'photo.jpg'}",
        )
    place = {name: index for index, name in enumerate(identities)}
    labels = np.array([place[str(crop.identity)] for crop in kept], dtype=np.int64)
    dropped = Dropped(len(found) - len(named), len(few), sum(images_of[name] for name in few))
    return LabelledCrops(tuple(kept), labels, identities, needed, batch, seed), dropped


def fingerprint(data: LabelledCrops) -> str:
    """SHA-256 over the names of the crops and what they were made of: the photo's hash and the settings from the
    manifest, or the crop's own hash where there is none."""
    digest = hashlib.sha256()
    for crop in data.crops:
        made_of = f"{crop.record.hash} {crop.record.settings}" if crop.record else file_sha256(crop.path)
        digest.update(f"{crop.name}\0{crop.template.name}\0{made_of}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
