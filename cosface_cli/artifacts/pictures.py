"""Photos: file content to upright RGB pixels, and pixels to files.

The format is recognised by content, not by name. JPEG is decoded by libjpeg-turbo at a reduced scale if that is enough,
other formats by Pillow. The orientation tag is applied here and nowhere else. A truncated picture is an error.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cosface_cli.errors import PhotoError

Pixels = NDArray[np.uint8]

MAX_MEGAPIXELS = 50.0
_BAND = 256  # rows converted at a time
_ORIENTATION = 274  # the EXIF tag
_TRANSPOSED = (5, 6, 7, 8)  # its values that swap width and height
# Pillow reads more formats, but some are unsafe: for EPS it would run Ghostscript
_FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}

Image.MAX_IMAGE_PIXELS = None  # decode checks the size instead


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """An upright picture."""

    image: Pixels
    """RGB uint8 (H, W, 3). It can be smaller than the photo in the file."""
    width: int
    """Width of the photo in the file, upright, in pixels."""
    height: int
    """Height of the photo in the file, upright, in pixels."""

    @property
    def scale(self) -> float:
        """Pixels of image per pixel of the file: at most 1, rounded to 1/8, as the last row may be partial."""
        side: int = max(self.image.shape[:2])
        return round(8 * side / max(self.width, self.height)) / 8


def read(path: str | PathLike[str]) -> bytes:
    """The content of a photo file. Raises PhotoError (unreadable, empty)."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError("missing", "no such file", path) from None
    except OSError as error:
        raise PhotoError("unreadable", f"cannot be read ({error.strerror})", path, "check its permissions") from error
    return require_content(content, path)


def require_content(content: bytes, path: str | PathLike[str]) -> bytes:
    """Returns the content. Raises PhotoError (empty_file) if there is none."""
    if not content:
        raise PhotoError("empty_file", "the file is empty", path, "copy the photo again")
    return content


def decode(
    content: bytes,
    path: str | PathLike[str],
    long_side: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Photo:
    """The picture in the content of a file. path is used in errors only.

    long_side: a JPEG may be decoded at a smaller scale if its longer side keeps at least this many pixels; None: full
    size. Raises PhotoError (unsupported_format, too_large, truncated, decode_error).
    """
    size = _plain_jpeg(content)
    if size is not None:
        width, height = size
        _require_size(width, height, max_megapixels, path)
        pixels = _jpeg(content, path, min(long_side or max(size), max(size)), width >= height)
        if pixels is not None:
            return Photo(pixels, width, height)
    header = _open(content, path)
    width, height = header.size
    _require_size(width, height, max_megapixels, path)
    if header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L"):
        pixels = _jpeg(content, path, min(long_side or max(width, height), max(width, height)), width >= height)
        if pixels is not None:
            orientation = _orientation(header)
            if orientation in _TRANSPOSED:
                width, height = height, width
            return Photo(_upright(pixels, orientation), width, height)
    pixels = _pillow(header, path)
    return Photo(pixels, pixels.shape[1], pixels.shape[0])


def decode_file(path: str | PathLike[str]) -> Pixels:
    """The upright RGB picture (H, W, 3) of a file at full size. Raises PhotoError."""
    return decode(read(path), path).image


def encode_jpeg(image: Pixels, quality: int = 95) -> bytes:
    """RGB (H, W, 3) as a JPEG without chroma subsampling."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", colorsubsampling="444", fastdct=False)
    )


def encode_png(image: Pixels) -> bytes:
    """RGB (H, W, 3) as a PNG, without loss."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=3)
    return out.getvalue()


def encode_thumbnail(image: Pixels, side: int) -> bytes:
    """RGB (H, W, 3) as a WebP of at most side x side pixels, for pages: a third of the size of such a JPEG."""
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=70, method=2)
    return out.getvalue()


def cut_out(image: Pixels, box: tuple[float, ...], margin: float = 0.3) -> Pixels:
    """The part of a picture (H, W, 3) around a box; the whole picture if the box lies outside.

    box: left, top, right, bottom in pixels; margin: added on each side, as a share of the box's width and height.
    """
    left, top, right, bottom = box
    x, y = margin * (right - left), margin * (bottom - top)
    columns = slice(max(0, int(left - x)), max(0, int(right + x)))
    rows = slice(max(0, int(top - y)), max(0, int(bottom + y)))
    part = np.ascontiguousarray(image[rows, columns])
    return part if part.size else image


def looks_like_photo(head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 or more) is a picture of a known format."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*"))
        or (head[:2] == b"BM" and head[6:10] == bytes(4))  # BMP; a text can also begin with BM
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS | _AVIF_BRANDS)  # videos begin with ftyp too
    )


def _require_size(width: int, height: int, max_megapixels: float, path: str | PathLike[str]) -> None:
    if width * height > max_megapixels * 1e6:
        raise PhotoError(
            "too_large",
            f"{width * height / 1e6:.0f} megapixels, above the limit of {max_megapixels:g}",
            path,
            "make it smaller, or raise --max-megapixels of align and embed",
        )


def _plain_jpeg(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG without an orientation; None for every other file.

    It avoids Pillow: for a crop, Pillow's header parsing takes a third of the time of decoding.
    """
    if not content.startswith(b"\xff\xd8\xff") or b"Exif" in content or b"tiff:Orientation" in content:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (width, height) if colours in ("YCbCr", "RGB", "Gray") else None


def _open(content: bytes, path: str | PathLike[str]) -> Image.Image:
    brand = content[8:12] if content[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS:
        if find_spec("pillow_heif") is None:
            raise PhotoError("unsupported_format", "HEIC needs an extra package", path, "pip install 'cosface[heic]'")
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        if looks_like_photo(content[:16]):
            raise PhotoError("decode_error", "damaged header", path, "copy the photo again") from None
        raise PhotoError("unsupported_format", "not a picture of a known format", path) from None
    except Exception as error:  # Pillow's readers raise exceptions of any type for hostile headers
        raise PhotoError("decode_error", f"damaged header ({_first_line(error)})", path) from error
    if header.format not in _FORMATS:
        raise PhotoError("unsupported_format", f"unsupported format {header.format}", path, "save it as JPEG or PNG")
    return header


def _orientation(header: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged tag block: no orientation
        return 1
    return int(value) if value in range(1, 9) else 1


def _jpeg(content: bytes, path: str | PathLike[str], long_side: int, wide: bool, strict: bool = True) -> Pixels | None:
    """The pixels of a JPEG, or None if libjpeg-turbo does not support it (Pillow may). strict: refuse surplus bytes."""
    try:
        size = {"min_width": long_side} if wide else {"min_height": long_side}
        return np.asarray(simplejpeg.decode_jpeg(content, "RGB", strict=strict, **size))
    except ValueError as error:
        words = str(error)
        if "remature end" in words:
            raise PhotoError("truncated", "the JPEG ends too early", path, "copy the photo again") from None
        if strict and _is_padding(content, words):  # every viewer ignores it
            return _jpeg(content, path, long_side, wide, strict=False)
        if "nsupported" in words:
            return None
        raise PhotoError("decode_error", f"damaged JPEG ({_first_line(error)})", path) from None


def _is_padding(content: bytes, words: str) -> bool:
    """Whether the surplus bytes in libjpeg-turbo's message are zeros before a marker, not misplaced picture data."""
    match = re.search(r"(\d+) extraneous bytes before marker 0x(\w\w)", words)
    return match is not None and bytes(int(match[1])) + b"\xff" + bytes.fromhex(match[2]) in content


def _pillow(header: Image.Image, path: str | PathLike[str]) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header.load()
            ImageOps.exif_transpose(header, in_place=True)
            if header.mode.startswith("I") or header.mode == "F":
                return _deep(header, path)
            pixels = np.empty((header.height, header.width, 3), np.uint8)
            for top in range(0, header.height, _BAND):  # in bands: each step of a conversion makes a copy
                bottom = min(top + _BAND, header.height)
                pixels[top:bottom] = np.asarray(_rgb(header.crop((0, top, header.width, bottom))))
            return pixels
    except PhotoError:
        raise
    except Exception as error:  # as in _open
        words = _first_line(error)
        if "truncated" in words or "broken" in words:
            raise PhotoError("truncated", f"the file ends too early ({words})", path, "copy the photo again") from error
        raise PhotoError("decode_error", f"damaged picture ({words})", path) from error


def _rgb(image: Image.Image) -> Image.Image:
    """The picture as RGB; transparent parts become white."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _deep(header: Image.Image, path: str | PathLike[str]) -> Pixels:
    """16-bit grey as RGB, by its high byte. Wider types have no defined white and are refused."""
    deep = np.array(header)
    if deep.dtype.kind in "ui" and deep.min() >= 0 and deep.max() <= 0xFFFF:
        return np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    problem = f"unsupported pixel type {header.mode}: its white is not defined"
    raise PhotoError("unsupported_format", problem, path, "save it with 8 bits per channel")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation == 1:
        return pixels
    if orientation in _TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)
    # EXIF 2.32, 4.6.4: the position of the file's 0th row and column in the upright picture
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
