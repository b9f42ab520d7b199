"""Reasons why a score is less reliable than it seems: one of several faces, a tiny or blurred face, or copies."""

from __future__ import annotations

from collections.abc import Iterator

from cosface_cli.engines.photos.copy_detection import copy_kind
from cosface_cli.verify.compare import MatchWarning
from cosface_cli.verify.faces.source import EmbeddedPhoto

# Over pairs of 120 CelebA people, one photo of each degraded: at 30 pixels the share of genuine pairs that the packaged
# network accepts at its threshold falls from 79 to 74 %, at 20 pixels to 58 %.
TINY = 30.0  # pixels of the box's longer side
# By the crop's template, the sharpness that a Gaussian of 2.5 pixels (of a dlib crop) leaves in the median face: with 2
# pixels 73 % are accepted, with 3 pixels 63 %, with 4 pixels 47 %.
BLURRED = {"dlib": 6.0, "wide": 4.5, "arcface": 24.0, "sphereface": 26.0}


def warnings_of_face(photo: EmbeddedPhoto, face: int = 0) -> Iterator[MatchWarning]:
    """Warnings about one face of a photo."""
    count = photo.vectors.detected
    if count > 1 and photo.choice != "all":
        chosen = "most central" if photo.choice == "center" else photo.choice
        words = f"{photo.name}: {count} faces, the {chosen} one was used"
        yield MatchWarning("several_faces", photo.name, words)
    box, _, sharpness = photo.vectors.faces[face]
    pixels = max(box[2] - box[0], box[3] - box[1])
    if 0 < pixels < TINY:
        words = f"{photo.name}: the face has {pixels:.0f} pixels; scores are unreliable below {TINY:.0f}"
        yield MatchWarning("tiny", photo.name, words)
    if sharpness < BLURRED.get(photo.template, 0):
        limit = BLURRED[photo.template]
        words = (
            f"{photo.name}: the face is blurred; scores are unreliable below sharpness {limit:g}, got {sharpness:.1f}"
        )
        yield MatchWarning("blurred", photo.name, words)


def warning_of_pair(
    left: EmbeddedPhoto, right: EmbeddedPhoto, left_face: int = 0, right_face: int = 0
) -> MatchWarning | None:
    """The reason why a high score of two photos proves little: copies always have a high score."""
    names = f"{left.name} and {right.name}"
    if left.vectors.hash == right.vectors.hash and left_face == right_face:
        return MatchWarning("identical_files", None, f"{names} are the same file")
    if (left.photo_hash or left.vectors.hash) == (right.photo_hash or right.vectors.hash):
        return MatchWarning("one_photo", None, f"{names} are cut out of one photo")
    if left.vectors.thumbnails is None or right.vectors.thumbnails is None:
        return None
    match copy_kind(left.vectors.thumbnails[left_face], right.vectors.thumbnails[right_face]):
        case "copy":
            return MatchWarning("copy", None, f"{names} look like copies of one photo")
        case "mirror":
            return MatchWarning("mirror", None, f"{names} look like one photo and its mirror image")
    return None
