"""Pages: one HTML file that opens from the disk, without a network and without other files.

A template is in the folder of the code that fills it, and extends page.html.j2 of this folder, which holds the common
style and forbids the browser to load anything else. Values are escaped; in a script, use `| tojson`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cosface_cli.artifacts.files import atomic

PACKAGE = Path(__file__).resolve().parents[2]


def write_page(path: Path, template: str, values: Mapping[str, object]) -> None:
    """Write a page to path, whole or not at all. template: path of the template, relative to the package.

    Iterators among the values are consumed while the page is written, so memory does not grow with their length.
    """
    environment = Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["printable"] = printable
    stream = environment.get_template(template).stream(values)
    stream.enable_buffering(64)
    with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("wb") as file:
        stream.dump(file, encoding="utf-8")


def printable(text: str) -> str:
    """The text with escapes for characters that cannot be shown: lone surrogates, control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def picture(content: bytes) -> str:
    """The content of a WebP file in base64, as a page's data holds it."""
    return base64.b64encode(content).decode("ascii")
