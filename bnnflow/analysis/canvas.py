"""How every figure of the report looks, and how it becomes an SVG inside the page.

Figures are made without pyplot, so that nothing is shared between reports or threads.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bnnflow.records import FloatArray

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6b7280"
"""Colours that stay apart for colour-blind readers and in grey print (Okabe and Ito)."""
MOST_POINTS = 2000
"""Longest line drawn in full; longer ones keep the extremes of equal stretches."""

STYLE = {
    "axes.edgecolor": "#9ca3af",
    "axes.grid": True,
    "axes.labelcolor": "#1f2937",
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "svg.fonttype": "path",
    "svg.hashsalt": "bnnflow",
    "text.color": "#1f2937",
    "xtick.color": "#4b5563",
    "xtick.labelsize": 9,
    "ytick.color": "#4b5563",
    "ytick.labelsize": 9,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside with the report's style, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def blank(rows: int = 1, columns: int = 1, *, height: float = 2.9, sharex: bool = False) -> Figure:
    """A figure as wide as the page (7.4 in) with a grid of axes; height: in per row."""
    figure = Figure(figsize=(7.4, height * rows), layout="constrained")
    figure.subplots(rows, columns, sharex=sharex, squeeze=False)
    return figure


def to_svg(figure: Figure, *, name: str) -> str:
    """The figure as an `<svg>` element; name: prefix that keeps its ids apart from others'."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return _with_own_ids(text[text.index("<svg") :], name)


def thin(x: FloatArray, y: FloatArray, *, most: int = MOST_POINTS) -> tuple[FloatArray, FloatArray]:
    """Fewer points of a long line, in order, with the lowest and highest of every stretch kept."""
    if len(x) <= most:
        return x, y
    stretches = np.array_split(np.arange(len(x)), most // 2)
    kept = {int(stretch[pick(y[stretch])]) for stretch in stretches for pick in (_lowest, _highest)}
    order = np.array(sorted(kept | {0, len(x) - 1}))
    return x[order], y[order]


def _lowest(values: FloatArray) -> int:
    return int(np.argmin(np.where(np.isnan(values), np.inf, values)))


def _highest(values: FloatArray) -> int:
    return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))


def _with_own_ids(svg: str, name: str) -> str:
    """Ids are shared by all SVGs of a page: give each figure's a prefix of its own."""
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    return re.sub(r"url\(#", f"url(#{name}-", svg)
