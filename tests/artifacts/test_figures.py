"""Figures as SVG and PNG: the same bytes each time, whatever a person's settings, in a page's colours."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from cosface_cli.artifacts.pages.plots import ACCENT, WARN, inline_svg, png, svg


def paint(figure: Figure) -> None:
    axes = figure.subplots()
    axes.plot([0, 1, 2], [3, 1, 2], color=ACCENT, marker="o", label="a <b> & c")
    axes.stairs([1, 2], [0, 1, 2], color=WARN, fill=True)
    axes.set(title="Title", xlabel="step")
    axes.legend()


def test_the_same_bytes_whatever_a_person_s_settings() -> None:
    first = svg(paint, 4, 3)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "lines.linewidth": 9, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert svg(paint, 4, 3) == first
        assert dict(matplotlib.rcParams) == before
    assert not re.search(r"\d{4}-\d\d-\d\d|[Mm]atplotlib v", first)


def test_a_file_of_its_own_is_whole_and_has_its_size() -> None:
    root = ElementTree.fromstring(svg(paint, 4, 3))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("288pt", "216pt", "0 0 288 216")
    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Title", "step", "a <b> & c"} <= set(words)


def test_as_pixels() -> None:
    found = png(paint, 4, 3)
    with Image.open(io.BytesIO(found)) as image:
        assert (image.format, image.size) == ("PNG", (600, 450)) and not image.info.get("Software")
        colours = {colour for _, colour in image.convert("RGB").getcolors(600 * 450) or []}
    assert tuple(bytes.fromhex(WARN[1:])) in colours  # the filled stairs
    assert png(paint, 4, 3) == found


def test_in_a_page_it_wears_the_page_s_colours() -> None:
    element = inline_svg(svg(paint, 4, 3), 'loss "by" <step>')
    root = ElementTree.fromstring(element)
    assert root.get("role") == "img" and root.get("aria-label") == 'loss "by" <step>'
    assert "var(--accent)" in element and "var(--warn)" in element and "var(--ink)" in element
    assert not re.search(r"#[0-9a-f]{6}|<metadata|<\?xml|<!DOCTYPE", element)
    for one in root.iter():
        target = one.get("{http://www.w3.org/1999/xlink}href") or re.sub(
            r"url\((.*)\)", r"\1", one.get("clip-path", "")
        )
        assert not target or f'id="{target[1:]}"' in element, "what is referred to is still there"
