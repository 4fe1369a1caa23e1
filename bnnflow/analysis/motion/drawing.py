"""The figures of an analysis of motion: what `figures_of` gave in, a matplotlib figure out.

Each takes the figures of one kind of analysis from every trajectory, and draws one line for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bnnflow.analysis.canvas import BLUE, GREEN, GREY, ORANGE, RED, blank
from bnnflow.analysis.motion.jahn_teller import NAMES
from bnnflow.analysis.motion.pre_jump import NAMES as DISTANCES

Many = Sequence[Mapping[str, Any]]
COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)


def bonds(many: Many, name: str) -> Figure:
    """Long, medium and short lengths over time; without octahedra, lengths by nearness."""
    if all("jahn_teller" in found for found in many):
        return _three_lengths(many, name)
    figure = blank()
    for number, found in enumerate(many):
        nearest = found["nearest_A"]
        ranks = np.arange(1, len(nearest["value"]) + 1)
        colour = COLOURS[number % len(COLOURS)]
        figure.axes[0].errorbar(ranks, nearest["value"], nearest["error"], fmt="o", ms=4, c=colour)
    figure.axes[0].set(xlabel="neighbour, nearest first", ylabel=f"{name} length (Å)")
    return figure


def msd(many: Many, name: str) -> Figure:
    """Mean squared displacement, and the straight line that gives D."""
    figure = blank()
    axes = figure.axes[0]
    for number, found in enumerate(many):
        lag, curve = np.array(found["lag_ps"]), np.array(found["msd_A2"])
        axes.plot(lag, curve, c=COLOURS[number % len(COLOURS)])
        fitted = (lag >= found["fit_ps"][0]) & (lag <= found["fit_ps"][1])
        if fitted.any():
            line = 6.0 * found["diffusion_A2_per_ps"]["value"] * (lag - lag[fitted].mean())
            axes.plot(lag[fitted], (curve[fitted].mean() + line)[fitted], c=GREY, ls="--")
    axes.set(xlabel="lag (ps)", ylabel=f"MSD of {name} (Å²)", ylim=(0, None))
    return figure


def jumps(many: Many, name: str) -> Figure:
    """Donor-acceptor distance at all times, and before each jump."""
    figure = blank()
    axes = figure.axes[0]
    for number, found in enumerate(many):
        before, colour = found["before"], COLOURS[number % len(COLOURS)]
        axes.stairs(
            before["histogram"]["density_per_A"], before["histogram"]["edges_A"], color=colour
        )
        each = np.array(before["each_A"], dtype=np.float64).reshape(-1, len(DISTANCES))[:, 0]
        axes.plot(each, np.zeros(len(each)), "|", ms=14, c=colour)
    axes.set(xlabel="donor-acceptor distance (Å)", ylabel="share of time (1/Å)")
    axes.set_title(f"{name}: at all times (curve), before each jump (ticks)")
    return figure


def rdf(many: Many, name: str) -> Figure:
    """Radial distribution function."""
    return _curves(many, "r_A", "g", xlabel="r (Å)", ylabel=f"g(r) of {name}")


def adf(many: Many, name: str) -> Figure:
    """Angular distribution function."""
    figure = _curves(
        many, "angle_degrees", "density_per_degree",
        xlabel=f"{name} angle (degrees)", ylabel="share (1/degree)",
    )  # fmt: skip
    figure.axes[0].set_xticks(range(0, 181, 30))
    return figure


def vdos(many: Many, name: str) -> Figure:
    """Vibrational density of states."""
    return _curves(
        many, "frequency_THz", "density_per_THz",
        xlabel="frequency (THz)", ylabel=f"states of {name} (1/THz)",
    )  # fmt: skip


def _curves(many: Many, x: str, y: str, *, xlabel: str, ylabel: str) -> Figure:
    figure = blank()
    axes = figure.axes[0]
    for number, found in enumerate(many):
        curve = np.array(found[y], dtype=np.float64)  # None becomes NaN and is not drawn
        axes.plot(found[x], curve, c=COLOURS[number % len(COLOURS)])
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    return figure


def _three_lengths(many: Many, name: str) -> Figure:
    figure = blank()
    axes = figure.axes[0]
    for found in many:
        series = np.array(found["jahn_teller"]["block_lengths_A"])
        for pair, which in enumerate(NAMES):
            label = which if found is many[0] else None
            axes.plot(found["jahn_teller"]["block_ps"], series[:, pair], "o-", ms=3.5,
                      c=COLOURS[pair], label=label)  # fmt: skip
    axes.set(xlabel="MD time (ps)", ylabel=f"{name} length (Å)")
    axes.legend(loc="best")
    return figure
