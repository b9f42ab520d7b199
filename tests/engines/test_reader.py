"""From photo to faces with detectors that know the answer, and with one that finds painted dots at any scale."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosface_cli.artifacts import pictures
from cosface_cli.engines.detectors import Detections, Faces
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import Reader, sharpness
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import TEMPLATES, Template, apply, similarity

DLIB = TEMPLATES["dlib"]


class Prepared:
    """A detector that knows the answer, given in shares of the picture's width, and notes what it was shown."""

    name = "prepared"

    def __init__(self, boxes: Sequence[Sequence[float]], scores: Sequence[float] | None = None, long_side: int = 640):
        self.boxes = np.array(boxes, np.float64).reshape(-1, 4)
        self.scores = np.array(scores if scores is not None else [0.9] * len(self.boxes), np.float32)
        self.long_side = long_side
        self.seen: list[np.ndarray] = []
        self.wants: list[Faces] = []

    def detect(self, images: Sequence[np.ndarray], want: Faces = "all") -> list[Detections]:
        self.seen += images
        self.wants.append(want)
        return [self._found(image) for image in images]

    def _found(self, image: np.ndarray) -> Detections:
        boxes = self.boxes * image.shape[1]
        landmarks = np.stack([self.landmarks(box) for box in boxes]) if len(boxes) else np.zeros((0, 5, 2))
        return Detections(boxes.astype(np.float32), landmarks.astype(np.float32), self.scores)

    def landmarks(self, box: np.ndarray) -> np.ndarray:
        """A face as it sits in its box."""
        return box[:2] + (DLIB.landmarks / 150) * (box[2:] - box[:2])


class Seeing:
    """A detector that looks: the five dots of `dots`, told apart by their colours."""

    name = "seeing"

    def __init__(self, long_side: int):
        self.long_side = long_side
        self.seen: list[np.ndarray] = []

    def detect(self, images: Sequence[np.ndarray], want: Faces = "all") -> list[Detections]:
        self.seen += images
        return [self._found(image.astype(np.float64)) for image in images]

    def _found(self, image: np.ndarray) -> Detections:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        points = []
        for colour in COLOURS:
            unlike = [channel for channel in range(3) if not colour[channel]]
            weight = image[:, :, [c for c in range(3) if colour[c]]].min(axis=2)
            weight = np.clip(weight - image[:, :, unlike].max(axis=2), 0, None) if unlike else weight
            weight[weight < 12] = 0
            points.append(((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()))
        landmarks = np.array([points], np.float32)
        low, high = landmarks[0].min(axis=0), landmarks[0].max(axis=0)
        box = np.concatenate([low - (high - low) / 2, high + (high - low) / 2])
        return Detections(box[None].astype(np.float32), landmarks, np.ones(1, np.float32))


COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))  # of eyes, nose and mouth corners


def dots(width: int, height: int, points: np.ndarray, radius: float) -> np.ndarray:
    image = np.zeros((height, width, 3), np.float32)
    reach = int(5 * radius)
    for (px, py), colour in zip(points, COLOURS, strict=True):
        left, top = max(int(px) - reach, 0), max(int(py) - reach, 0)
        part = image[top : int(py) + reach, left : int(px) + reach]
        y, x = np.mgrid[: part.shape[0], : part.shape[1]]
        dot = 255 * np.exp(-((x + left - px) ** 2 + (y + top - py) ** 2) / (2 * radius**2))
        part += dot[:, :, None] * np.array(colour)
    return np.clip(image, 0, 255).astype(np.uint8)


def centres(crop: np.ndarray, template: Template) -> np.ndarray:
    """Where the dots lie in a crop: the centre of brightness near each of the template's points."""
    found = []
    for (px, py), colour in zip(template.points, COLOURS, strict=True):
        left, top = round(px) - 6, round(py) - 6
        weight = crop[top : top + 13, left : left + 13].astype(np.float64) @ np.array(colour)
        y, x = np.mgrid[:13, :13]
        found.append((left + (x * weight).sum() / weight.sum(), top + (y * weight).sum() / weight.sum()))
    return np.array(found)


def png(image: np.ndarray) -> bytes:
    return pictures.encode_png(np.ascontiguousarray(image))


def grey(width: int = 400, height: int = 300) -> bytes:
    return png(np.full((height, width, 3), 90, np.uint8))


def reason(reader: Reader, content: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        reader.faces(content, "a.jpg")
    assert str(caught.value).startswith("a.jpg: ")
    return caught.value.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encode", "size"),
    (
        (png, (900, 700)),
        (pictures.encode_jpeg, (900, 700)),
        (pictures.encode_jpeg, (2405, 1803)),
        (pictures.encode_jpeg, (1803, 2405)),
    ),
    ids=("png", "jpeg", "large", "upright"),
)
@pytest.mark.parametrize("name", ("dlib", "arcface"))
def test_dots_come_to_lie_on_the_template_at_every_scale(name: str, size: tuple[int, int], encode):
    """The large ones are decoded smaller for the detector and, for a small face, once more for the crop."""
    width, height = size
    template = TEMPLATES[name]
    for face_scale in (1.1, 3.2):
        points = (DLIB.landmarks - [75, 75]) * face_scale + [width * 0.7, height * 0.66]
        detector = Seeing(640)
        found, faces = Reader(detector, template).faces(encode(dots(width, height, points, 3.0 * face_scale)), "a.jpg")
        assert found == 1
        np.testing.assert_allclose(faces[0].landmarks, points, atol=0.6)
        crop = faces[0].crop
        assert crop.shape == (template.height, template.width, 3)
        target = template.landmarks
        if name == "arcface":  # another shape of face: the least squares leave a residue
            target = apply(similarity(points, target), points)
        wanted = Template("there", template.width, template.height, tuple(map(tuple, target)))
        np.testing.assert_allclose(centres(crop, wanted), target, atol=0.35)


def test_a_large_jpeg_is_decoded_no_larger_than_needed():
    image = np.full((2400, 3200, 3), 120, np.uint8)
    big = Prepared([[0.1, 0.1, 0.6, 0.6]], long_side=640)  # 1600 pixels: 640 are plenty for the crop
    _, faces = Reader(big, DLIB).faces(pictures.encode_jpeg(image), "a.jpg")
    assert max(big.seen[0].shape) == 800  # two eighths
    np.testing.assert_allclose(faces[0].box, [320, 320, 1920, 1920], rtol=1e-3)


def test_size_and_time_and_hash_of_the_file(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(grey())
    found = Reader(Prepared([[0.2, 0.2, 0.6, 0.6]]), DLIB).read(path)
    status = path.stat()
    assert (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert found.hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.found == 1 and len(found.faces) == 1
    with pytest.raises(PhotoError, match="no such file"):
        Reader(Prepared([]), DLIB).read(tmp_path / "none.png")


def test_turned_photos_are_looked_at_upright():
    upright = np.zeros((300, 400, 3), np.uint8)
    upright[:, :200] = (200, 0, 0)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.rot90(upright)).save(out, "PNG", exif=exif)
    detector = Prepared([[0.1, 0.1, 0.5, 0.5]])
    Reader(detector, DLIB).faces(out.getvalue(), "a.png")
    np.testing.assert_array_equal(detector.seen[0], upright)


BOXES = (  # in shares of a width of 400: a small one at the left, the largest at the right, one in the middle
    [0.05, 0.05, 0.15, 0.15],
    [0.60, 0.05, 0.95, 0.40],
    [0.40, 0.28, 0.60, 0.48],
)


@pytest.mark.parametrize(("choice", "want"), (("largest", [1]), ("center", [2]), ("all", [0, 2, 1])))
def test_which_faces_are_chosen(choice: Faces, want: list[int]):
    detector = Prepared(BOXES, [0.99, 0.5, 0.7])
    found, faces = Reader(detector, DLIB, choice).faces(grey(), "a.png")
    assert found == 3
    np.testing.assert_allclose([face.box for face in faces], [np.array(BOXES[n]) * 400 for n in want], rtol=1e-5)
    np.testing.assert_allclose([face.score for face in faces], [[0.99, 0.5, 0.7][n] for n in want], rtol=1e-6)
    assert detector.wants == [choice]


def test_a_box_over_the_edge_counts_by_what_is_visible():
    """Of 200 x 200 only 40 x 200 lie in the picture; the other has 100 x 100."""
    _, faces = Reader(Prepared([[-0.4, 0.1, 0.1, 0.6], [0.5, 0.1, 0.75, 0.35]]), DLIB).faces(grey(), "a.png")
    assert faces[0].box[0] == pytest.approx(200)


def test_limits_are_in_pixels_of_the_photo_and_named():
    boxes = [[0.1, 0.1, 0.2, 0.2], [0.5, 0.1, 0.6, 0.2]]  # 40 pixels of 400
    assert reason(Reader(Prepared([]), DLIB), grey()) == "no_face"
    assert reason(Reader(Prepared(boxes), DLIB, limits=Limits(min_face=41)), grey()) == "too_small"
    assert len(Reader(Prepared(boxes), DLIB, "all", Limits(min_face=40)).faces(grey(), "a")[1]) == 2
    low = Reader(Prepared(boxes, [0.6, 0.7]), DLIB, "all", Limits(min_score=0.65))
    _, faces = low.faces(grey(), "a.png")
    assert [round(face.score, 2) for face in faces] == [0.7]
    assert reason(Reader(Prepared(boxes, [0.6, 0.6]), DLIB, limits=Limits(min_score=0.65)), grey()) == "low_score"
    assert reason(Reader(Prepared(boxes), DLIB, limits=Limits(max_megapixels=0.1)), grey()) == "too_large"
    with pytest.raises(PhotoError, match="largest face has 40 pixels, below the limit of 41; lower --min-face"):
        Reader(Prepared(boxes), DLIB, limits=Limits(min_face=41)).faces(grey(), "a.png")


def test_a_small_decode_does_not_shrink_the_limit():
    """40 of 3200 pixels, seen at 800: still 40."""
    image = pictures.encode_jpeg(np.full((2400, 3200, 3), 120, np.uint8))
    face = [[0.1, 0.1, 0.1125, 0.1125]]
    assert len(Reader(Prepared(face), DLIB, limits=Limits(min_face=39)).faces(image, "a")[1]) == 1
    assert reason(Reader(Prepared(face), DLIB, limits=Limits(min_face=41)), image) == "too_small"


class Degenerate(Prepared):
    """Every second face has its landmarks on a line."""

    def landmarks(self, box: np.ndarray) -> np.ndarray:
        points = super().landmarks(box)
        if box[0] < 200:
            points[:, 1] = points[0, 1]
        return points


def test_degenerate_landmarks_are_rejected_never_warped():
    boxes = [[0.1, 0.1, 0.3, 0.3], [0.6, 0.1, 0.8, 0.3]]
    _, faces = Reader(Degenerate(boxes), DLIB, "all").faces(grey(), "a.png")
    assert len(faces) == 1 and faces[0].box[0] == pytest.approx(240)
    assert reason(Reader(Degenerate(boxes[:1]), DLIB), grey()) == "bad_landmarks"
    not_a_number = Prepared(boxes[:1])
    not_a_number.landmarks = lambda box: np.full((5, 2), np.nan)  # type: ignore[method-assign]
    assert reason(Reader(not_a_number, DLIB), grey()) == "bad_landmarks"


def test_quality():
    _, faces = Reader(Prepared([[0.1, 0.1, 0.3, 0.25]]), DLIB).faces(grey(), "a.png")
    # the template's own points: the right eye .17 higher over 58.1 pixels, the nose .46 left of the middle
    assert faces[0].quality == {"face_px": 80.0, "sharpness": 0.0, "yaw": -1.0, "roll": -0.1}
    assert faces[0].rotation == 0
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    image = np.repeat(noise[:, :, None], 3, axis=2)
    wide = np.pad(noise.astype(np.float64), 1, mode="reflect")
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    assert sharpness(image) == pytest.approx(laplacian.var(), rel=1e-5)


def test_broken_content_is_the_photo_s_fault():
    assert reason(Reader(Prepared([[0.1, 0.1, 0.3, 0.3]]), DLIB), b"no photo at all") == "unsupported_format"
    jpeg = pictures.encode_jpeg(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    assert reason(Reader(Prepared([[0.1, 0.1, 0.3, 0.3]]), DLIB), jpeg[:-900]) == "truncated"


def noise(width: int = 400, height: int = 300) -> bytes:
    return png(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_blurred_crops_are_refused_by_name():
    detector = Prepared([[0.1, 0.1, 0.5, 0.5]])
    sharp = Reader(detector, DLIB).faces(noise(), "a.png")[1][0].quality["sharpness"]
    assert len(Reader(detector, DLIB, limits=Limits(min_sharpness=sharp - 1)).faces(noise(), "a.png")[1]) == 1
    strict = Reader(detector, DLIB, limits=Limits(min_sharpness=sharp + 1))
    assert reason(strict, noise()) == "blurred"
    with pytest.raises(
        PhotoError, match=rf"sharpness of the crop is {sharp}, below the limit of .*; lower --min-sharp"
    ):
        strict.faces(noise(), "a.png")


class Turning(Prepared):
    """The nose of every face lies over its right eye, of those in the left half over the left eye."""

    def landmarks(self, box: np.ndarray) -> np.ndarray:
        points = super().landmarks(box)
        points[2, 0] = points[0 if box[0] < 200 else 1, 0]
        return points


@pytest.mark.parametrize("left", [0.1, 0.6])
def test_faces_turned_away_to_either_side_are_refused_by_name(left: float):
    detector = Turning([[left, 0.1, left + 0.3, 0.4]])
    _, faces = Reader(detector, DLIB, limits=Limits(max_yaw=46)).faces(grey(), "a.png")
    assert faces[0].quality["yaw"] == pytest.approx(-45 if left < 0.5 else 45, abs=0.2)
    strict = Reader(detector, DLIB, limits=Limits(max_yaw=44))
    assert reason(strict, grey()) == "turned_away"
    with pytest.raises(PhotoError, match=r"turned by 4[45]\.\d degrees, above the limit of 44; raise --max-yaw"):
        strict.faces(grey(), "a.png")


def test_quality_refuses_the_chosen_face_and_puts_nobody_in_its_place():
    boxes = [[0.05, 0.05, 0.35, 0.35], [0.6, 0.1, 0.7, 0.2]]
    half = np.full((300, 400, 3), 90, np.uint8)
    half[:, 200:] = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    limits = Limits(min_sharpness=10)
    assert reason(Reader(Prepared(boxes), DLIB, "largest", limits), png(half)) == "blurred"
    found, faces = Reader(Prepared(boxes), DLIB, "all", limits).faces(png(half), "a.png")
    assert found == 2 and [face.box[0] for face in faces] == [pytest.approx(240)]


def test_settings_name_what_can_refuse():
    assert Limits().settings == "min_face=20 min_score=0"
    assert Limits(min_sharpness=3.5, max_yaw=30).settings == "min_face=20 min_score=0 min_sharpness=3.5 max_yaw=30"


class Upright(Seeing):
    """Sees dots only where the red one lies left of the green one, as those of a face held upright; on its first look
    at a picture as sure as `scores` says of each orientation, 0 for what it does not see."""

    def __init__(self, long_side: int, also: float = 0.0):
        super().__init__(long_side)
        self.also = also

    def _found(self, image: np.ndarray) -> Detections:
        found = super()._found(image)
        left, right, nose = found.landmarks[0][:3]
        upright = left[0] < right[0] - 2 and nose[1] > max(left[1], right[1])
        score = 0.9 if upright else self.also if left[0] > right[0] + 2 else 0.0
        keep = slice(None) if score else slice(0)
        return Detections(found.boxes[keep], found.landmarks[keep], np.full(1, score, np.float32)[keep])


@pytest.mark.slow
@pytest.mark.parametrize("encode", (png, pictures.encode_jpeg), ids=("png", "jpeg"))
@pytest.mark.parametrize(("quarters", "rotation"), [(0, 0), (1, 90), (2, 180), (3, 270)])
def test_a_turned_photo_gives_the_crop_of_the_upright_one(quarters: int, rotation: int, encode):
    """quarters: how often the photo was turned counterclockwise, so that as many clockwise set it upright."""
    width, height = 1205, 903
    points = (DLIB.landmarks - [75, 75]) * 1.6 + [width * 0.3, height * 0.6]
    image = dots(width, height, points, 4.8)
    upright = Reader(Upright(320), DLIB).faces(encode(image), "a.jpg")[1][0]
    lying = np.ascontiguousarray(np.rot90(image, quarters))
    if quarters:
        assert reason(Reader(Upright(320), DLIB), encode(lying)) == "no_face"
    found, faces = Reader(Upright(320), DLIB, try_rotations=True).faces(encode(lying), "a")
    assert found == 1 and faces[0].rotation == rotation
    assert np.abs(faces[0].crop.astype(float) - upright.crop).mean() < 1
    expected = points
    for side in (width, height, width)[:quarters]:  # a quarter counterclockwise: (x, y) -> (y, width - 1 - x)
        expected = np.stack([expected[:, 1], side - 1 - expected[:, 0]], axis=1)
    np.testing.assert_allclose(faces[0].landmarks, expected, atol=0.6)
    low, high = faces[0].landmarks.min(axis=0), faces[0].landmarks.max(axis=0)
    assert (faces[0].box[:2] < low).all() and (high < faces[0].box[2:]).all()
    assert np.cos(np.radians(faces[0].quality["roll"] + rotation)) == pytest.approx(1, abs=1e-3)
    assert faces[0].quality["yaw"] == pytest.approx(upright.quality["yaw"], abs=0.5)


def test_the_surest_rotation_is_taken_and_none_where_a_face_stands_upright():
    points = (DLIB.landmarks - [75, 75]) + [200, 150]
    image = dots(400, 300, points, 3.0)
    on_its_head = png(image[::-1, ::-1])
    sure = Upright(640, also=0.95)  # takes it for a face as it stands
    assert Reader(sure, DLIB, try_rotations=True).faces(on_its_head, "a")[1][0].rotation == 0 and len(sure.seen) == 1
    limited = Upright(640, also=0.5)
    reader = Reader(limited, DLIB, limits=Limits(min_score=0.6), try_rotations=True)
    assert reader.faces(on_its_head, "a")[1][0].rotation == 180 and len(limited.seen) == 4
    nobody = Reader(Prepared([]), DLIB, try_rotations=True)
    assert reason(nobody, grey()) == "no_face"
    small = Reader(Prepared([[0.1, 0.1, 0.12, 0.12]]), DLIB, try_rotations=True)
    assert reason(small, grey()) == "too_small", "the words are of the photo as it is"
