"""Figures by matplotlib, as SVG or PNG. The same numbers give the same bytes. In a page they have the page's colours.

A figure is a function that draws on an empty matplotlib Figure. The user's matplotlibrc is not read, and no window is
opened.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, LINE, SHEET = "#16191d", "#5b6470", "#dde1e6", "#ffffff"
ACCENT, WARN = "#1f5fbf", "#b3372b"
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", SHEET: "sheet", ACCENT: "accent", WARN: "warn"}

_STYLE: dict[str, object] = {
    "svg.hashsalt": "cosface",
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "text.color": INK,
    "figure.facecolor": SHEET,
    "axes.facecolor": SHEET,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


_DPI = 150  # of PNG


def svg(paint: Callable[[Figure], None], width: float, height: float) -> str:
    """An SVG file of the figure that paint draws. width, height: in inches, of 72 points."""
    return _file(paint, width, height, "svg", {"Date": None, "Creator": None}).decode()


def png(paint: Callable[[Figure], None], width: float, height: float) -> bytes:
    """A PNG file of the figure that paint draws. width, height: in inches, of 150 pixels."""
    return _file(paint, width, height, "png", {"Software": None})


def _file(
    paint: Callable[[Figure], None], width: float, height: float, kind: str, nothing: Mapping[str, None]
) -> bytes:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no messages about its caches
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # Any: some versions list every name in its type
        settings.update(_STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        figure.savefig(out, format=kind, dpi=_DPI if kind == "png" else "figure", metadata=nothing)
    return out.getvalue()


def inline_svg(file_text: str, description: str) -> str:
    """An SVG file (see svg) as an element of a page of artifacts/pages. description: for screen readers."""
    body = file_text[file_text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<(g|defs|svg)([^>]*?) id="[^"]*"', r"<\1\2", body)  # every figure has the same ids
    for colour, name in _VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
