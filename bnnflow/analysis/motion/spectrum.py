"""Vibrational (phonon) density of states from the velocity autocorrelation function.

g(f) ~ |integral of sum_i m_i <v_i(0) v_i(t)> w(t) exp(-2 pi i f t) dt|, w a Hann window that falls
to 0 at the longest lag, which sets the resolution; scaled to three states per atom. Every harmonic
mode of a classical trajectory in equipartition gives one state (J. M. Dickey and A. Paskin, Phys.
Rev. 188, 1407 (1969)). Velocities are differences of positions half-way between two frames; the
factor (sin(x) / x)^2, x = pi f dt, that this puts into g is divided out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, signal

from bnnflow.analysis.motion.correlation import autocorrelation
from bnnflow.analysis.motion.msd import without_drift
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import ConfigError
from bnnflow.records import FloatArray

LAG_FS = 1000.0
"""Longest lag of the autocorrelation, fs, unless told otherwise (or half the trajectory)."""
THZ = 1000.0
"""1/fs in THz."""
PADDING = 4
"""The autocorrelation is padded to this many times its length, so that curves are smooth."""
PEAK_SHARE = 0.05
"""Peaks lower than this share of the highest are not named."""
ATOMS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class VibrationalDensity:
    """frequencies: (k,) THz; density: (k,) states per THz, 3 per atom in all; resolution: THz, the
    full width at half maximum of a sharp line.
    """

    frequencies: FloatArray
    density: FloatArray
    resolution: float

    @property
    def peaks(self) -> FloatArray:
        """(p,) THz, maxima in the order of height, lowest left out."""
        floor = PEAK_SHARE * float(self.density.max(initial=0.0))
        places, found = signal.find_peaks(self.density, prominence=floor, height=floor)
        return np.asarray(self.frequencies[places[np.argsort(-found["peak_heights"])]])


def vibrational_density(
    motion: Motion, species: str, *, lag_fs: float | None = None
) -> VibrationalDensity:
    """Density of vibrational states of an element ("all": of every atom), up to 1 / (2 dt).

    lag_fs: longest lag, by default 1 ps or half the trajectory; a line is 1 / lag_fs wide. The
    motion of the centre of mass is taken out. Raises ConfigError when the lag does not fit.
    """
    atoms = motion.atoms_of(species)
    longest = lag_fs or min(LAG_FS, 0.5 * len(motion) * motion.timestep)
    count = round(longest / motion.timestep)
    if not 4 <= count < len(motion) - 1:
        raise ConfigError(
            f"lag {longest:g} fs is {count} frames of {len(motion)}, expected at least 4 and fewer "
            "than there are: choose another lag, or run longer"
        )
    velocities = np.diff(without_drift(motion)[:, atoms], axis=0) / motion.timestep
    weighted = _weighted_autocorrelation(velocities, motion.masses[atoms])[: count + 1]
    return _transformed(weighted, motion.timestep, 3 * len(atoms))


def _weighted_autocorrelation(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """(m,) sum over atoms of mass times <v(0) v(t)>. velocities: (m, a, 3)."""
    total = np.zeros(len(velocities))
    for start in range(0, len(masses), ATOMS_AT_ONCE):
        some = slice(start, start + ATOMS_AT_ONCE)
        products = autocorrelation(velocities[:, some]).sum(axis=2)
        total += products @ masses[some]
    return total


def _transformed(correlation: FloatArray, timestep: float, states: int) -> VibrationalDensity:
    count = len(correlation) - 1
    window = np.cos(0.5 * np.pi * np.arange(count + 1) / count) ** 2
    even = np.concatenate([correlation * window, np.zeros((PADDING - 1) * count)])
    mirrored = np.concatenate([even, even[-2:0:-1]])
    spectrum = fft.rfft(mirrored).real
    frequencies = fft.rfftfreq(len(mirrored), timestep) * THZ
    density = np.maximum(spectrum, 0.0) / np.sinc(frequencies / THZ * timestep) ** 2
    total = float(density.sum() * (frequencies[1] - frequencies[0]))
    scale = states / total if total > 0.0 else 0.0  # atoms that stand still have no spectrum
    return VibrationalDensity(frequencies, scale * density, THZ / (count * timestep))
