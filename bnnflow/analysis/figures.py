"""The figures of a run's report: plain arrays in, a matplotlib figure out.

Times are in ps, energies in kcal/mol, angles in degrees: what the reader of the page sees. Every
figure can be drawn from empty arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bnnflow.analysis import metrics
from bnnflow.analysis.canvas import BLUE, GREEN, GREY, ORANGE, RED, blank, thin
from bnnflow.records import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

TIME = "MD time (ps)"


def labels_over_time(times: FloatArray, end: float) -> Figure:
    """Number of labels against MD time. times: (n,) of the labels, rising; end: of the run."""
    figure = blank()
    axes = figure.axes[0]
    counts = np.arange(1, len(times) + 1)
    axes.step(np.append(times, max(end, 0.0)), np.append(counts, len(times)), where="post", c=BLUE)
    axes.plot(times, counts, "o", ms=4, c=BLUE)
    axes.set(xlabel=TIME, ylabel="labels", ylim=(0, None), xlim=_span(end))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def error_against_sigma(sigma: FloatArray, error: FloatArray, threshold: float) -> Figure:
    """Signed error of labels against sigma*, with the band |error| < K and +-2 sigma*."""
    figure = blank(height=3.4)
    axes = figure.axes[0]
    axes.axhspan(-threshold, threshold, color=GREEN, alpha=0.12, lw=0, label="|error| < K")
    edge = np.array([0.0, 1.1 * float(np.max(sigma, initial=0.1 * threshold))])
    axes.plot(edge, 2 * edge, "--", c=GREY, lw=1, label="±2 σ*, uncalibrated")
    axes.plot(edge, -2 * edge, "--", c=GREY, lw=1)
    outside = np.abs(error) > threshold
    axes.plot(sigma[~outside], error[~outside], "o", c=BLUE, label="label")
    if outside.any():
        axes.plot(sigma[outside], error[outside], "D", c=RED, label="label above K")
    axes.set(xlabel="predicted σ* (kcal/mol)", ylabel="prediction − reference (kcal/mol)")
    axes.set_xlim(0.0, edge[1])
    _legend(axes)
    return figure


def energy_and_temperature(
    time: FloatArray, energy: FloatArray, temperature: FloatArray, target: FloatArray
) -> Figure:
    """Potential energy relative to its first value, and temperature with its target, over time."""
    figure = blank(2, height=2.1, sharex=True)
    upper, lower = figure.axes
    relative = energy - energy[0] if len(energy) else energy
    upper.plot(*thin(time, relative), c=BLUE, lw=0.8)
    upper.set(ylabel="potential energy −\nfirst (kcal/mol)")
    lower.plot(*thin(time, temperature), c=ORANGE, lw=0.8, label="instantaneous")
    if len(target):
        lower.plot(*thin(time, target), c=GREY, lw=1.2, ls="--", label="target")
        _legend(lower)
    lower.set(xlabel=TIME, ylabel="temperature (K)", ylim=(0, None))
    return figure


def sigma_and_limit(
    time: FloatArray,
    sigma: FloatArray,
    limit: FloatArray,
    label_times: FloatArray,
    label_sigma: FloatArray,
    floor: float,
) -> Figure:
    """Predicted sigma* and the largest trusted one over time, with the labels and the floor."""
    figure = blank()
    axes = figure.axes[0]
    axes.plot(*thin(time, sigma), c=BLUE, lw=0.8, label="σ*")
    axes.plot(*thin(time, limit), c=RED, label="limit")
    axes.plot(label_times, label_sigma, "o", ms=4.5, mfc="none", c=ORANGE, label="σ* at labels")
    axes.axhline(floor, c=GREY, lw=1, ls=":", label="floor of σ*, 0.1 K")
    axes.set(xlabel=TIME, ylabel="σ* (kcal/mol)")
    if _spread(np.concatenate([sigma, limit, label_sigma, [floor]])) > 30.0:
        axes.set_yscale("log")
    _legend(axes)
    return figure


def torsion_over_time(
    time: FloatArray, angle: FloatArray, inside: BoolArray, label_times: FloatArray, name: str
) -> Figure:
    """A torsion over time, transitions shaded, labelled frames marked. inside: (m,) booleans."""
    figure = blank()
    axes = figure.axes[0]
    axes.fill_between(
        time, -180, 180, where=inside, color=ORANGE, alpha=0.35, lw=0, step="mid",
        label="in transition",
    )  # fmt: skip
    axes.plot(time, angle, ".", ms=1.5, c=BLUE, rasterized=len(time) > 5000)
    if len(time) and len(label_times):
        nearest = np.clip(np.searchsorted(time, label_times), 0, len(time) - 1)
        axes.plot(label_times, angle[nearest], "o", ms=5, mfc="none", c=RED, label="label")
    axes.set(xlabel=TIME, ylabel=f"{name} torsion (degrees)", ylim=(-180, 180))
    axes.set_yticks([-180, -120, -60, 0, 60, 120, 180])
    _legend(axes)
    return figure


def time_split(seconds: Mapping[str, float]) -> Figure:
    """Wall time spent in each kind of work, in seconds, with its share of the whole."""
    figure = blank(height=0.5 + 0.33 * max(1, len(seconds)))
    axes = figure.axes[0]
    kinds, values = list(seconds), list(seconds.values())
    total = sum(values) or 1.0
    colours = [BLUE, GREEN, ORANGE, GREY, RED]
    bars = axes.barh(kinds, values, color=[colours[i % 5] for i in range(len(kinds))], height=0.62)
    axes.bar_label(bars, [f" {v:,.0f} s ({v / total:.0%})" for v in values], fontsize=8.5)
    axes.set(xlabel="wall time (s)", xlim=(0, 1.22 * max([*values, 1e-9])))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return figure


def calibration_history(
    mean_squares: FloatArray, factors: FloatArray, limits: FloatArray
) -> Figure:
    """Calibration after each label: M_n and the factor s/sigma*, and the limit in kcal/mol."""
    figure = blank(1, 2, height=2.7)
    left, right = figure.axes
    numbers = np.arange(1, len(factors) + 1)
    left.plot(numbers, mean_squares, "o-", ms=3.5, c=ORANGE, label="Mₙ, mean of (error/σ*)²")
    left.plot(numbers, factors, "s-", ms=3.5, c=BLUE, label="s/σ*, calibrated widening")
    left.axhline(1.0, c=GREY, lw=1, ls=":")
    left.set(xlabel="label number", ylabel="no unit", ylim=(0, None))
    right.plot(numbers, limits, "o-", ms=3.5, c=RED)
    right.set(xlabel="label number", ylabel="limit on σ* (kcal/mol)", ylim=(0, None))
    _legend(left)
    _count_along(numbers, left, right)
    return figure


def force_ratio(time: FloatArray, ratio: FloatArray, asked: FloatArray) -> Figure:
    """Largest force std over its limit along MD (time, ps), with the labels asked for forces."""
    figure = blank(height=2.6)
    axes = figure.axes[0]
    axes.plot(time, ratio, c=BLUE, lw=0.8, label="largest std / limit", rasterized=len(time) > 5000)
    axes.axhline(1.0, c=RED, lw=1, label="limit")
    axes.plot(asked, np.ones(len(asked)), "o", ms=5, mfc="none", c=RED, label="label for forces")
    axes.set(xlabel=TIME, ylabel="force std / limit", ylim=(0, None))
    _legend(axes)
    return figure


def update_diagnostics(
    versions: Sequence[int],
    temperature: FloatArray,
    energy_rmse: FloatArray,
    force_rmse: FloatArray,
    stationary: float,
    acceptance: FloatArray,
) -> Figure:
    """Per update and chain: kinetic temperature, energy and force RMSE over the data set.

    temperature, energy_rmse (kcal/mol), force_rmse (kcal/mol/Å), acceptance (NaN without HMC, and
    then not drawn): (n_updates, n_chains); stationary: kinetic temperature of a stationary chain.
    """
    columns = [temperature, energy_rmse, force_rmse]
    names = ["kinetic temperature", "energy RMSE (kcal/mol)", "force RMSE (kcal/mol/Å)"]
    if np.isfinite(acceptance).any():
        columns.append(acceptance)
        names.append("acceptance")
    figure = blank(1, len(columns), height=2.6)
    for axes, values, name in zip(figure.axes, columns, names, strict=True):
        axes.plot(versions, values, ".", c=BLUE, ms=4, alpha=0.6)
        if len(versions):
            axes.plot(versions, np.nanmean(values, axis=1), c=ORANGE)
        axes.set(xlabel="ensemble version", ylabel=name)
    _count_along(versions, *figure.axes)
    figure.axes[0].axhline(stationary, c=GREY, lw=1, ls=":")
    return figure


def validation_errors(
    time: FloatArray, tuned: FloatArray, foundation: FloatArray, sigma: FloatArray, threshold: float
) -> Figure:
    """Errors of validation frames over MD time; |error| against sigma* with its smooth curve."""
    figure = blank(1, 2, height=3.0)
    left, right = figure.axes
    left.axhspan(-threshold, threshold, color=GREEN, alpha=0.12, lw=0, label="|error| < K")
    left.plot(time, foundation, "x", ms=4, c=GREY, label="foundation model")
    left.plot(time, tuned, "o", ms=4, c=BLUE, label="fine-tuned")
    left.set(xlabel=TIME, ylabel="prediction − reference (kcal/mol)")
    curve = metrics.error_curve(tuned, sigma)
    right.plot(sigma, np.abs(tuned), "o", ms=4, c=BLUE, alpha=0.6, label="frame")
    right.plot(curve.sigma, curve.error, c=ORANGE, label="smoothed")
    right.axhline(threshold, c=GREEN, lw=1, ls="--", label="K")
    right.set(xlabel="predicted σ* (kcal/mol)", ylabel="|error| (kcal/mol)", ylim=(0, None))
    _legend(left)
    _legend(right)
    return figure


def _count_along(numbers: Sequence[int] | IntArray, *many: Axes) -> None:
    """Whole numbers only along x, with room on both sides of a single one."""
    for axes in many:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(numbers):
            axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)


def _legend(axes: Axes) -> None:
    axes.legend(loc="best")


def _span(end: float) -> tuple[float, float]:
    return (0.0, end) if end > 0.0 else (-0.05, 0.05)


def _spread(values: FloatArray) -> float:
    """Largest over smallest of the finite, positive values."""
    good = values[np.isfinite(values) & (values > 0.0)]
    return float(good.max() / good.min()) if good.size else 1.0
