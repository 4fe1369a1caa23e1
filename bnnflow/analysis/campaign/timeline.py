"""The pools over wall time: how many tasks each had, and what each run was at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator

from bnnflow.analysis.campaign.spans import IN_POOL, KINDS, Clock, Spans, mean_levels
from bnnflow.analysis.canvas import BLUE, GREEN, GREY, ORANGE, RED, blank
from bnnflow.records import FloatArray, IntArray

COLOURS: Mapping[str, str] = {
    "md": BLUE,
    "label": ORANGE,
    "update": GREEN,
    "queued": RED,
    "idle": "#d1d5db",
    "explore": "#7c3aed",
}
BINS = 400
"""Steps along the axis; what is shorter is shown as a mean, or as the kind that took most of it."""
_UNITS = ((7200.0, "h", 3600.0), (120.0, "min", 60.0), (0.0, "s", 1.0))


def pools_over_time(spans: Spans, clock: Clock, workers: Mapping[str, int]) -> Figure:
    """Tasks in each pool over driven wall time, as means over short steps, with its workers."""
    figure = blank(len(IN_POOL), height=1.25, sharex=True)
    edges = np.linspace(0.0, clock.total or 1.0, BINS + 1)
    unit, scale = _unit(clock.total)
    for axes, (pool, kinds) in zip(figure.axes, IN_POOL.items(), strict=True):
        tasks = mean_levels(spans.of(*kinds), clock, edges)
        axes.stairs(tasks, edges / scale, fill=True, color=COLOURS[kinds[0]], alpha=0.75, lw=0)
        if 0 < workers[pool] <= 3.0 * max(1.0, tasks.max()):
            axes.axhline(workers[pool], c=GREY, lw=1, ls="--")
        axes.set(ylabel=f"{pool} tasks", ylim=(0, None), xlim=_span(clock, scale))
        axes.set_axisbelow(True)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        _mark(axes, clock, scale)
    figure.axes[-1].set_xlabel(f"wall time ({unit})")
    return figure


def runs_over_time(names: Sequence[str], many: Sequence[Spans], clock: Clock) -> Figure:
    """What each run was at over driven wall time, one row per run."""
    figure = blank(height=0.9 + 0.2 * max(1, len(names)))
    axes = figure.axes[0]
    unit, scale = _unit(clock.total)
    for number, kind in enumerate(KINDS):
        boxes = [box for row, spans in enumerate(many) for box in _boxes(spans, clock, number, row)]
        patch = PathPatch(_outline(boxes, scale), fc=COLOURS[kind], lw=0, label=kind)
        axes.add_patch(patch)
    _mark(axes, clock, scale)
    axes.set(xlabel=f"wall time ({unit})", xlim=_span(clock, scale))
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(KINDS), borderaxespad=0.2)
    return figure


def pieces(spans: Spans, clock: Clock) -> tuple[FloatArray, FloatArray, IntArray]:
    """(m,) begins and ends in driven s, and kinds, to be drawn of one run.

    As they are where there are few; else, for each of BINS steps, the kind that took most of it,
    with equal neighbours joined.
    """
    if len(spans.start) <= BINS:
        return clock.driven(spans.start), clock.driven(spans.end), spans.kind
    edges = np.linspace(0.0, clock.total, BINS + 1)
    shares = np.array([mean_levels(_single(spans.of(k)), clock, edges) for k in KINDS])
    kinds = np.where(shares.sum(axis=0) > 0.0, shares.argmax(axis=0), -1)
    firsts = np.flatnonzero(np.append(True, np.diff(kinds) != 0))
    begins, ends = edges[firsts], edges[np.append(firsts[1:], BINS)]
    busy = kinds[firsts] >= 0
    return begins[busy], ends[busy], kinds[firsts][busy].astype(np.int64)


def _single(spans: Spans) -> Spans:
    return Spans(spans.start, spans.end, spans.kind, np.ones_like(spans.tasks))


def _boxes(spans: Spans, clock: Clock, kind: int, row: int) -> list[tuple[float, float, int]]:
    begins, ends, kinds = pieces(spans, clock)
    chosen = kinds == kind
    return [(float(b), float(e), row) for b, e in zip(begins[chosen], ends[chosen], strict=True)]


def _outline(boxes: Sequence[tuple[float, float, int]], scale: float) -> Outline:
    """All boxes of one kind as one path: an SVG with one element, not thousands."""
    if not boxes:
        return Outline(np.zeros((0, 2)))
    begin, end, row = np.array(boxes).T
    left, right, low, high = begin / scale, end / scale, row - 0.36, row + 0.36
    corners = [(left, low), (right, low), (right, high), (left, high), (left, low)]
    points = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
    return Outline(points.reshape(-1, 2), codes * len(boxes))


def _mark(axes: Axes, clock: Clock, scale: float) -> None:
    for pause in clock.pauses:
        axes.axvline(pause / scale, c=GREY, lw=0.8, ls=":")


def _span(clock: Clock, scale: float) -> tuple[float, float]:
    return 0.0, (clock.total or 1.0) / scale


def _unit(total: float) -> tuple[str, float]:
    return next((unit, scale) for least, unit, scale in _UNITS if total >= least)


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:13]}…{name[-14:]}"
