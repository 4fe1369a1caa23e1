"""Findings about dynamics: diffusion and vibrations."""

from __future__ import annotations

import numpy as np

from bnnflow.analysis.motion.finding import MOST_POINTS, PS, Finding, Row, figure, kept
from bnnflow.analysis.motion.msd import diffusion
from bnnflow.analysis.motion.sources import Source
from bnnflow.analysis.motion.spectrum import vibrational_density
from bnnflow.analysis.motion.study import Study
from bnnflow.units import CM2_PER_S, WAVENUMBER


def of_diffusion(source: Source, species: str, study: Study) -> Finding:
    """Mean squared displacement, Å², and diffusion coefficient, Å²/ps."""
    found = diffusion(source.motion, species, window=study.fit_fs, blocks=study.msd_blocks)
    ours = figure(found.coefficient, scale=PS)
    theirs = figure(found.coefficient, scale=CM2_PER_S)
    keep, window = kept(len(found.lags)), [edge / PS for edge in found.window]
    figures = {
        "diffusion_A2_per_ps": ours,
        "diffusion_cm2_per_s": theirs,
        "fit_ps": window,
        "lag_ps": (found.lags[keep] / PS).tolist(),
        "msd_A2": found.msd[keep].tolist(),
    }
    note = f"{theirs['value']:.3g} cm²/s, fit {window[0]:.3g} to {window[1]:.3g} ps"
    row = Row(f"D({species})", **ours, unit="Å²/ps", note=note)
    return Finding("msd", species, figures, (row,))


def of_vibrations(source: Source, species: str, study: Study) -> Finding:
    """Vibrational density of states."""
    found = vibrational_density(source.motion, species, lag_fs=study.lag_fs)
    step, total = found.frequencies[1], max(float(found.density.sum()), 1e-300)
    mean = float(found.density @ found.frequencies) / total
    last = int(np.searchsorted(np.cumsum(found.density), 0.999 * total)) + 1
    keep = kept(min(last, len(found.frequencies)), 3 * MOST_POINTS)
    peaks = found.peaks
    figures = {
        "peaks_THz": peaks.tolist(),
        "mean_THz": mean,
        "resolution_THz": found.resolution,
        "states": total * float(step),
        "frequency_THz": found.frequencies[keep].tolist(),
        "density_per_THz": found.density[keep].tolist(),
    }
    highest = ", ".join(f"{peak:.1f} ({peak * WAVENUMBER:.0f} cm⁻¹)" for peak in peaks[:4])
    note = f"peaks at {highest}" if highest else "no peak"
    return Finding(
        "vdos", species, figures, (Row(f"{species} mean f", mean, unit="THz", note=note),)
    )
