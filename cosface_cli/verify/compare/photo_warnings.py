"""What is to be known of a score: a face that is one of several, tiny or blurred; two photos that are not two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosface_cli.engines.photos.copy_detection import copy_kind
from cosface_cli.engines.photos.face_vectors import Vectors
from cosface_cli.verify import Warned

# Over pairs of 120 CelebA people, one photo of each made worse: at 30 pixels the share of genuine pairs that the
# embedded network accepts at its threshold falls from 79 to 74 %, at 20 pixels to 58 %.
TINY = 30.0  # pixels of the box's longer side
# By the crop's template, the sharpness that a Gaussian of 2.5 pixels (of a dlib crop) leaves in the median face: with 2
# pixels 73 % are accepted, with 3 pixels 63 %, with 4 pixels 47 %.
BLURRED = {"dlib": 6.0, "wide": 4.5, "arcface": 24.0, "sphereface": 26.0}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A photo with its faces. template: of the crop whose sharpness is known; photo: hash of the photo that a crop is
    from; choice: which of several faces was taken."""

    name: str
    vectors: Vectors
    template: str
    choice: str
    photo: str | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a face to compare."""
        return self.vectors.reason is None and self.vectors.vectors is not None


def of_one(seen: Seen, face: int = 0) -> Iterator[Warned]:
    """What there is to say of one face of a photo."""
    found = seen.vectors.found
    if found > 1 and seen.choice != "all":
        taken = "most central" if seen.choice == "center" else seen.choice
        yield Warned("several_faces", seen.name, f"{seen.name}: {found} faces, the {taken} one was taken")
    box, _, sharpness = seen.vectors.faces[face]
    pixels = max(box[2] - box[0], box[3] - box[1])
    if 0 < pixels < TINY:
        words = f"{seen.name}: the face has {pixels:.0f} pixels; under {TINY:.0f} scores are worth less"
        yield Warned("tiny", seen.name, words)
    if sharpness < BLURRED.get(seen.template, 0):
        limit = BLURRED[seen.template]
        words = f"{seen.name}: the face is blurred (sharpness {sharpness:.1f}, below {limit:g}): scores are worth less"
        yield Warned("blurred", seen.name, words)


def of_both(left: Seen, right: Seen, left_face: int = 0, right_face: int = 0) -> Warned | None:
    """Why two photos that seem to show one person prove little. Asked of pairs that score high: a copy always does."""
    names = f"{left.name} and {right.name}"
    if left.vectors.hash == right.vectors.hash and left_face == right_face:
        return Warned("identical_files", None, f"{names} are the same file")
    photos = {left.photo or left.vectors.hash, right.photo or right.vectors.hash}
    if len(photos) == 1:
        return Warned("one_photo", None, f"{names} are cut out of one photo")
    if left.vectors.thumbnails is None or right.vectors.thumbnails is None:
        return None
    kind = copy_kind(left.vectors.thumbnails[left_face], right.vectors.thumbnails[right_face])
    if kind == "copy":
        return Warned("copy", None, f"{names} look like copies of one photo")
    if kind == "mirror":
        return Warned("mirror", None, f"{names} look like one photo and its mirror image")
    return None
