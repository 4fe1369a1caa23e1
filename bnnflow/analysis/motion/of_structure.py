"""Findings about structure: bond lengths, g(r) and angles."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnflow.analysis.motion.angular import angular_distribution
from bnnflow.analysis.motion.averages import average
from bnnflow.analysis.motion.bonds import bond_lengths, lasting_bond_lengths, lasting_bonds
from bnnflow.analysis.motion.finding import PS, Finding, Row, figure, text
from bnnflow.analysis.motion.jahn_teller import NAMES, SITES, jahn_teller_lengths
from bnnflow.analysis.motion.radial import radial_distribution
from bnnflow.analysis.motion.sources import Source
from bnnflow.analysis.motion.study import Angle, Bond, Study
from bnnflow.records import FloatArray

EXCHANGED = 1.1
"""Bonds of the mean structure this much longer than nearest neighbours are no bonds that last."""


def of_bonds(source: Source, bond: Bond, study: Study) -> Finding:
    """Lengths of nearest neighbours and of lasting bonds; three lengths of octahedra. Å."""
    motion, name = source.motion, f"{bond.centre}-{bond.neighbour}"
    pair = (bond.centre, bond.neighbour)
    nearest = bond_lengths(motion, *pair, count=bond.count).mean(axis=1)
    lasting = lasting_bond_lengths(motion, lasting_bonds(motion, *pair, count=bond.count))
    mean = average(nearest.mean(axis=1), study.blocks)
    exchanged = bool(lasting.mean() > EXCHANGED * nearest.mean())
    figures: dict[str, Any] = {
        "neighbours": bond.count,
        "mean_A": figure(mean),
        "nearest_A": figure(average(nearest, study.blocks)),
        "lasting_mean_A": figure(average(lasting.mean(axis=(1, 2)), study.blocks)),
        "exchanged": exchanged,
    }
    note = f"{bond.count} nearest to each {bond.centre}"
    note += ", which are not the same all along" if exchanged else ""
    rows = [Row(f"{name} mean length", **figure(mean), unit="Å", note=note)]
    if bond.count == SITES and not exchanged:
        three, more = _three_lengths(motion.times, lasting, name, study.blocks)
        figures, rows = figures | three, rows + more
    return Finding("bonds", name, figures, tuple(rows))


def of_pairs(source: Source, first: str, second: str, study: Study) -> Finding:
    """Radial distribution function."""
    found = radial_distribution(source.motion, first, second, reach=study.reach)
    name, (peak, height), (end, count) = f"{first}-{second}", found.peak, found.first_shell
    figures = {
        "peak_A": peak,
        "peak_height": height,
        "first_shell_A": end,
        "first_shell_neighbours": count,
        "r_A": found.centres.tolist(),
        "g": found.density.tolist(),
        "neighbours": found.neighbours.tolist(),
    }
    rows = (
        Row(f"g({name}) highest peak", peak, unit="Å", note=f"g = {height:.3g}"),
        Row(f"{second} round {first}", count, note=f"up to the minimum at {end:.3g} Å"),
    )
    return Finding("rdf", name, figures, rows)


def of_angles(source: Source, angle: Angle) -> Finding:
    """Angular distribution function."""
    found = angular_distribution(source.motion, angle.triple, cutoff=angle.cutoff)
    name = "-".join(angle.triple)
    top = float(found.centres[found.density.argmax()]) if found.count else float("nan")
    mean = float(np.average(found.centres, weights=found.density)) if found.count else top
    figures = {
        "cutoff_A": angle.cutoff,
        "count": found.count,
        "peak_degrees": top,
        "mean_degrees": mean,
        "angle_degrees": found.centres.tolist(),
        "density_per_degree": found.density.tolist(),
        "relative_to_random": found.relative.tolist(),
    }
    rows = (Row(f"{name} mean angle", mean, unit="degrees", note=f"most at {top:.4g}"),)
    return Finding("adf", name, figures, rows)


def _three_lengths(
    times: FloatArray, lengths: FloatArray, name: str, blocks: int
) -> tuple[dict[str, Any], list[Row]]:
    found = jahn_teller_lengths(lengths, blocks)
    size = len(times) // blocks
    middles = times[len(times) - blocks * size :].reshape(blocks, size).mean(axis=1)
    figures: dict[str, Any] = {
        "lasting_A": {NAMES[i]: figure(found.lasting, i) for i in range(3)},
        "instantaneous_A": {NAMES[i]: figure(found.instantaneous, i) for i in range(3)},
        "noise_A": found.noise,
        "block_ps": (middles / PS).tolist(),
        "block_lengths_A": found.series.tolist(),
    }
    rows = [
        Row(f"{name} {which}", **figures["lasting_A"][which], unit="Å",
            note=f"± {found.noise:.2g} from scatter alone; sorted frame by frame "
            f"{text(**figures['instantaneous_A'][which])}")
        for which in NAMES
    ]  # fmt: skip
    return {"jahn_teller": figures}, rows
