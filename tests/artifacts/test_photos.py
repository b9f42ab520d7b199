"""Photos by content: every way up, every depth, and never half a picture. The references are Pillow and arithmetic."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cosface_cli.artifacts import pictures
from cosface_cli.errors import PhotoError

# four quarters, wider than high, so that no turn or mirror looks like another
QUARTERS = np.zeros((40, 60, 3), np.uint8)
QUARTERS[:20, :30], QUARTERS[:20, 30:] = (200, 30, 40), (20, 180, 60)
QUARTERS[20:, :30], QUARTERS[20:, 30:] = (30, 60, 190), (220, 220, 90)

# EXIF 2.32, 4.6.4: what has to be done to the stored rows
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    """A picture that does not compress away."""
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def oriented(value: object) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = value
    return exif


def reason(content: bytes, **how: object) -> str:
    with pytest.raises(PhotoError) as caught:
        pictures.decode(content, "p.jpg", **how)  # type: ignore[arg-type]
    assert str(caught.value).startswith("p.jpg: ")
    return caught.value.reason


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape and a.dtype == b.dtype == np.uint8
    return float(np.abs(a.astype(int) - b).mean())


KINDS = {
    "jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "jpeg-grey": ("JPEG", {"quality": 95}),
    "jpeg-cmyk": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
}


def test_orientation_in_xmp_counts_where_there_is_no_exif():
    picture = Image.fromarray(QUARTERS)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for content, want in ((saved(picture, "JPEG", xmp=xmp), (60, 40, 3)), (saved(picture, "JPEG"), (40, 60, 3))):
        assert pictures.decode(content, "p").image.shape == want
        assert pictures.decode(content, "p", long_side=20).width == want[1]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", KINDS)
def test_orientation_is_applied_once(kind: str, orientation: int):
    picture = Image.fromarray(QUARTERS)
    if kind.endswith(("grey", "cmyk")):
        picture = picture.convert("L" if kind.endswith("grey") else "CMYK")
    name, how = KINDS[kind]
    photo = pictures.decode(saved(picture, name, exif=oriented(orientation), **how), "p")
    want = UPRIGHT[orientation](np.array(picture.convert("RGB")))
    assert difference(photo.image, np.ascontiguousarray(want)) < 2.5
    assert (photo.height, photo.width) == want.shape[:2] and photo.scale == 1.0
    assert photo.image.flags.c_contiguous


def test_a_scaled_turned_jpeg_keeps_the_file_s_upright_size():
    photo = pictures.decode(saved(Image.fromarray(noise(400, 800)), "JPEG", exif=oriented(6)), "p", long_side=200)
    assert (photo.width, photo.height) == (400, 800)
    assert photo.image.shape == (200, 100, 3) and photo.scale == 0.25


@pytest.mark.parametrize("size", ((800, 1200), (1200, 800), (1000, 1000), (37, 1201)))
@pytest.mark.parametrize("long_side", (100, 300, 301, 640, 5000))
def test_scaled_decoding_keeps_the_long_side(size: tuple[int, int], long_side: int):
    """libjpeg-turbo's steps are eighths, rounded up to whole pixels: the smallest that is not below what was asked."""
    height, width = size
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    picture = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)
    content = pictures.encode_jpeg(picture)
    photo = pictures.decode(content, "p", long_side)
    side = max(photo.image.shape)
    steps = {-(-max(size) * step // 8): step / 8 for step in range(1, 9)}
    assert side == min(pixels for pixels in steps if pixels >= min(long_side, max(size)))
    assert (photo.width, photo.height) == (width, height) and photo.scale == steps[side]
    small = Image.fromarray(picture).resize(photo.image.shape[1::-1], Image.Resampling.BOX)
    assert difference(photo.image, np.array(small)) < 3


def test_pixels_are_rgb_as_pillow_reads_them(packaged_photos: Path):
    for name in ("t1.jpg", "Tom_Hanks_54745.png"):
        with Image.open(packaged_photos / name) as picture:
            assert difference(pictures.decode_file(packaged_photos / name), np.array(picture.convert("RGB"))) < 0.5


def test_deep_grey_keeps_the_high_byte():
    deep = (np.arange(24 * 30).reshape(24, 30) * 90).astype(np.uint16)
    want = np.repeat((deep // 256).astype(np.uint8)[:, :, None], 3, axis=2)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pictures.decode(saved(Image.fromarray(deep), kind), "p").image, want)
    turned = pictures.decode(saved(Image.fromarray(deep), "PNG", exif=oriented(6)), "p").image
    np.testing.assert_array_equal(turned, np.rot90(want, -1))


def test_deep_colour_keeps_the_high_byte():
    deep = np.random.default_rng(1).integers(0, 1 << 16, (9, 7, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    content = png(7, 9, depth=16, colour=2, rows=rows)
    np.testing.assert_array_equal(pictures.decode(content, "p").image, (deep >> 8).astype(np.uint8))


def test_floating_point_is_refused_not_guessed():
    assert reason(saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")) == "unsupported_format"
    assert reason(saved(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF")) == "unsupported_format"


def test_alpha_lies_on_white():
    half = np.dstack([QUARTERS, np.full((40, 60), 255, np.uint8)])
    half[:20, :, 3] = 0
    half[20:, :30, 3] = 51  # a fifth of the colour and four fifths of white
    for kind in ("PNG", "TIFF"):
        image = pictures.decode(saved(Image.fromarray(half), kind), "p").image
        assert (image[:20] == 255).all()
        np.testing.assert_allclose(image[30, 10], [0.2 * c + 0.8 * 255 for c in (30, 60, 190)], atol=1)
        np.testing.assert_array_equal(image[30, 50], (220, 220, 90))
    grey = np.zeros((4, 6, 2), np.uint8)
    grey[:, 3:] = (100, 255)
    image = pictures.decode(saved(Image.fromarray(grey, "LA"), "PNG"), "p").image
    assert (image[:, :3] == 255).all() and (image[:, 3:] == 100).all()


def test_palette_with_and_without_a_transparent_colour():
    picture = Image.fromarray(QUARTERS).quantize(4)
    np.testing.assert_array_equal(pictures.decode(saved(picture, "PNG"), "p").image, QUARTERS)
    clear = picture.getpixel((0, 0))
    image = pictures.decode(saved(picture, "PNG", transparency=clear), "p").image
    assert (image[:20, :30] == 255).all()
    np.testing.assert_array_equal(image[20:], QUARTERS[20:])
    image = pictures.decode(saved(Image.fromarray(QUARTERS), "PNG", transparency=(200, 30, 40)), "p").image
    assert (image[:20, :30] == 255).all()


def test_one_bit_and_grey():
    bits = (QUARTERS[:, :, 1] > 100).astype(np.uint8) * 255
    want = np.repeat(bits[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(pictures.decode(saved(Image.fromarray(bits).convert("1"), "PNG"), "p").image, want)
    np.testing.assert_array_equal(pictures.decode(saved(Image.fromarray(bits), "PNG"), "p").image, want)


@pytest.mark.parametrize("kind", ("GIF", "WEBP", "TIFF", "PNG"))
def test_of_several_pictures_the_first(kind: str):
    first, second = Image.fromarray(QUARTERS), Image.fromarray(255 - QUARTERS)
    how = {"lossless": True} if kind == "WEBP" else {}
    content = saved(first, kind, save_all=True, append_images=[second], **how)
    np.testing.assert_array_equal(pictures.decode(content, "p").image, QUARTERS)


@pytest.mark.parametrize("kind", ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"))
def test_the_name_does_not_matter(kind: str, tmp_path: Path):
    path = tmp_path / "wrong.txt"
    content = saved(Image.fromarray(QUARTERS), kind)
    path.write_bytes(content)
    assert difference(pictures.decode_file(path), QUARTERS) < 9
    assert pictures.looks_like_photo(content[:16]) or kind in ("PPM", "JPEG2000")


@pytest.mark.parametrize(
    "head",
    (
        b"",
        b"BM",
        b"BMW and other cars\n",
        b"hello, world. text",
        b"%PDF-1.7 .........",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",  # a film beside its photo
        b"\0\0\0\x18ftypmp42\0\0\0\0isom",
        b"RIFF\0\0\0\0WAVEfmt ",
    ),
)
def test_other_files_do_not_look_like_photos(head: bytes):
    assert not pictures.looks_like_photo(head[:16])


@pytest.mark.parametrize("share", (0.5, 0.95, 0.99))
@pytest.mark.parametrize(
    ("kind", "how"),
    (
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_rows": 1}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
    ),
    ids=str,
)
def test_cut_off_is_never_a_picture(kind: str, how: dict[str, object], share: float):
    content = saved(Image.fromarray(noise(160, 200)), kind, **how)
    assert reason(content[: int(share * len(content))]) in ("truncated", "decode_error")


@pytest.mark.parametrize("mode", ("CMYK", "L"))
def test_other_jpegs_cut_off(mode: str):
    content = saved(Image.fromarray(noise(160, 200)).convert(mode), "JPEG")
    for share in (0.5, 0.95, 0.99):
        assert reason(content[: int(share * len(content))]) == "truncated"


def test_a_scaled_decode_sees_the_cut_too():
    content = saved(Image.fromarray(noise(800, 800)), "JPEG")
    for share in (0.5, 0.95, 0.99):
        assert reason(content[: int(share * len(content))], long_side=100) == "truncated"


def test_a_jpeg_without_its_end_marker_is_truncated():
    content = saved(Image.fromarray(noise(160, 200)), "JPEG")
    assert content.endswith(b"\xff\xd9")
    assert reason(content[:-2]) == "truncated"


def test_zeros_before_the_end_marker_are_padding():
    content = saved(Image.fromarray(QUARTERS), "JPEG")
    padded = content[:-2] + bytes(7) + b"\xff\xd9"
    np.testing.assert_array_equal(pictures.decode(padded, "p").image, pictures.decode(content, "p").image)
    trailed = content + b"trailing words"
    np.testing.assert_array_equal(pictures.decode(trailed, "p").image, pictures.decode(content, "p").image)


def test_a_jpeg_gone_astray_is_no_picture(packaged_photos: Path):
    """A flipped bit can leave the decoder with data to spare: that is no padding, the picture is garbled."""
    content = (packaged_photos / "t1.jpg").read_bytes()
    whole = pictures.decode(content, "p").image
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(random.integers(1000, len(content) // 2))] ^= 1 << int(random.integers(8))
        left_over = data_left_over(bytes(damaged))
        try:
            image = pictures.decode(bytes(damaged), "p").image
        except PhotoError as error:
            refused += error.reason == "decode_error"
            continue
        assert not left_over and image.shape == whole.shape
    assert refused >= 5


def data_left_over(content: bytes) -> bool:
    """Whether libjpeg-turbo itself finds bytes too many."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(content)
    except ValueError as error:
        return "extraneous" in str(error)
    return False


def test_what_is_no_photo():
    assert reason(b"just some words, nothing to see here") == "unsupported_format"
    assert reason(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom") == "unsupported_format"
    assert reason(b"\xff\xd8\xff\xe0") == "decode_error"
    assert reason(b"\x89PNG\r\n\x1a\n" + bytes(40)) == "decode_error"
    assert reason(saved(Image.fromarray(QUARTERS), "ICO")) == "unsupported_format"


def test_postscript_in_a_photo_s_clothes_is_not_run():
    """Pillow hands EPS to Ghostscript, if there is one."""
    assert reason(saved(Image.fromarray(QUARTERS), "EPS")) == "unsupported_format"


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    for brand in (b"heic", b"mif1"):
        with pytest.raises(PhotoError, match=r"pip install 'cosface\[heic\]'") as caught:
            pictures.decode(b"\0\0\0\x18ftyp" + brand + bytes(12), "p.heic")
        assert caught.value.reason == "unsupported_format"


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    for name, code in (("empty.jpg", "empty_file"), ("none.jpg", "missing"), (".", "unreadable")):
        with pytest.raises(PhotoError) as caught:
            pictures.read(tmp_path / name)
        assert caught.value.reason == code and caught.value.path == str(tmp_path / name)


def png(width: int, height: int, depth: int = 8, colour: int = 2, rows: bytes = b"") -> bytes:
    """A PNG by its specification."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_too_large_is_said_before_anything_is_decoded():
    bomb = png(30_000, 30_000, rows=bytes(1 << 20))
    jpeg = bytearray(saved(Image.fromarray(QUARTERS), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    tracemalloc.start()
    try:
        assert reason(bomb) == "too_large"
        assert reason(bytes(jpeg)) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_limit_is_the_callers():
    content = saved(Image.fromarray(noise(100, 100)), "PNG")
    assert pictures.decode(content, "p", max_megapixels=0.01).width == 100
    with pytest.raises(PhotoError, match="--max-megapixels") as caught:
        pictures.decode(content, "p", max_megapixels=0.0099)
    assert caught.value.reason == "too_large"


def jpeg_with_exif(block: bytes) -> bytes:
    content = saved(Image.fromarray(QUARTERS), "JPEG", quality=95, subsampling=0)
    body = b"Exif\0\0" + block
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def tiff_block(kind: int, count: int, value: bytes, entries: int = 1, offset: int = 8) -> bytes:
    return b"II*\0" + struct.pack("<IH", offset, entries) + struct.pack("<HHI", 274, kind, count) + value + bytes(4)


@pytest.mark.parametrize(
    "block",
    (
        b"",
        b"garbage that is no tag block",
        b"II*\0" + b"\xff" * 20,
        tiff_block(3, 1, struct.pack("<HH", 9, 0)),
        tiff_block(3, 1, struct.pack("<HH", 0, 0)),
        tiff_block(3, 1, struct.pack("<HH", 65_535, 0)),
        tiff_block(2, 4, b"six\0"),
        tiff_block(5, 1, struct.pack("<I", 26) + struct.pack("<II", 6, 0)),
        tiff_block(3, 2, struct.pack("<HH", 6, 6)),
        tiff_block(12, 0xFFFFFFFF, struct.pack("<I", 0)),
        tiff_block(3, 1, struct.pack("<HH", 6, 0), entries=60_000),
        tiff_block(3, 1, struct.pack("<HH", 6, 0), offset=0xFFFFFFF0),
        tiff_block(99, 1, struct.pack("<I", 6)),
    ),
    ids=range(13),
)
def test_a_damaged_tag_block_costs_no_picture(block: bytes):
    image = pictures.decode(jpeg_with_exif(block), "p").image
    upright = [np.ascontiguousarray(turn(QUARTERS)) for turn in UPRIGHT.values()]
    assert any(image.shape == want.shape and difference(image, want) < 3 for want in upright)


def test_a_tag_block_made_by_hand_turns():
    image = pictures.decode(jpeg_with_exif(tiff_block(3, 1, struct.pack("<HH", 6, 0))), "p").image
    assert difference(image, np.ascontiguousarray(np.rot90(QUARTERS, -1))) < 3


def test_jpegs_are_written_in_rgb_without_subsampling():
    content = pictures.encode_jpeg(QUARTERS)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == "RGB" and picture.size == (60, 40)
        assert [layer[1:3] for layer in picture.layer] == [(1, 1)] * 3  # 4:4:4
        assert difference(np.array(picture), QUARTERS) < 2
        assert sum(quantization(96)) < sum(picture.quantization[0]) < sum(quantization(94))
    np.testing.assert_array_equal(
        pictures.decode(pictures.encode_jpeg(QUARTERS[:, ::-1]), "p").image,
        pictures.decode(pictures.encode_jpeg(np.ascontiguousarray(QUARTERS[:, ::-1])), "p").image,
    )


def quantization(quality: int) -> list[int]:
    with Image.open(io.BytesIO(saved(Image.fromarray(QUARTERS), "JPEG", quality=quality))) as picture:
        return list(picture.quantization[0])


def test_pngs_are_written_without_loss():
    picture = noise(31, 17)
    with Image.open(io.BytesIO(pictures.encode_png(picture))) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.array(read), picture)


HOSTILE = {
    "jpeg": saved(Image.fromarray(QUARTERS), "JPEG", exif=oriented(6)),
    "progressive": saved(Image.fromarray(QUARTERS), "JPEG", progressive=True),
    "cmyk": saved(Image.fromarray(QUARTERS).convert("CMYK"), "JPEG"),
    "png": saved(Image.fromarray(QUARTERS), "PNG", exif=oriented(6)),
    "webp": saved(Image.fromarray(QUARTERS), "WEBP", exif=oriented(6)),
    "tiff": saved(Image.fromarray(QUARTERS), "TIFF", exif=oriented(6)),
    "gif": saved(Image.fromarray(QUARTERS), "GIF"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_gives_a_picture_or_a_photo_error(kind: str, data: st.DataObject):
    content = bytearray(HOSTILE[kind])
    places = st.integers(0, len(content) - 1)
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)):
        content[at] = value
    if data.draw(st.booleans()):
        del content[data.draw(places) :]
    try:
        photo = pictures.decode(bytes(content), "p", long_side=data.draw(st.sampled_from([None, 16])))
    except PhotoError as error:
        assert error.reason in ("unsupported_format", "too_large", "truncated", "decode_error")
    else:
        assert photo.image.dtype == np.uint8 and photo.image.ndim == 3 and photo.image.shape[2] == 3


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_at_all(content: bytes):
    with pytest.raises(PhotoError):
        pictures.decode(content, "p")


def test_decoding_does_not_import_the_heif_reader_for_others():
    pictures.decode(HOSTILE["png"], "p")
    assert "pillow_heif" not in sys.modules


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_tall_pictures_are_converted_in_bands_without_a_seam(mode: str):
    picture = Image.fromarray(noise(600, 9)).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(noise(600, 9)[:, :, 0]))
    found = pictures.decode(saved(picture, "PNG"), "p").image
    upon = Image.new("RGBA", picture.size, "white")
    whole = np.asarray(Image.alpha_composite(upon, picture.convert("RGBA")).convert("RGB"))
    assert (found == whole).all()


def test_zeros_before_a_marker_do_not_hide_other_damage():
    content = bytearray(HOSTILE["jpeg"])
    content[23] = 28  # part of the quantisation table is lost, and zeros remain before the next marker
    assert reason(bytes(content)) == "decode_error"
