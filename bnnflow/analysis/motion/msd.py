"""Mean squared displacement and the diffusion coefficient.

MSD(lag) = <|r_i(t + lag) - r_i(t)|^2> over the atoms i of a species and all time origins t; at long
lags MSD = 6 D lag + const (A. Einstein, 1905). Displacements are those of `periodic.displacements`
with the motion of the centre of mass of all atoms taken out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.analysis.motion.averages import Estimate, over_blocks
from bnnflow.analysis.motion.correlation import autocorrelation
from bnnflow.analysis.motion.periodic import displacements
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import ConfigError
from bnnflow.records import FloatArray, IntArray

BLOCKS = 5
"""Parts that the trajectory is cut into for the error bar, unless told otherwise."""
WINDOW = (0.1, 0.5)
"""Lags of the fit as shares of a block's length, unless told otherwise."""
DIMENSIONS = 3
ATOMS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Mean squared displacement of a species, and the diffusion coefficient fitted to it.

    lags: (k,) fs; msd: (k,) Å²; coefficient: Å²/fs and its standard error over blocks; window: the
    lags that were fitted, fs.
    """

    lags: FloatArray
    msd: FloatArray
    coefficient: Estimate
    window: tuple[float, float]


def without_drift(motion: Motion) -> FloatArray:
    """(m, n, 3) Å, displacements since the first frame less that of the centre of mass."""
    moved = displacements(motion)
    centre = np.einsum("mnx,n->mx", moved, motion.masses) / motion.masses.sum()
    return np.asarray(moved - centre[:, None])


def mean_squared_displacement(paths: FloatArray) -> FloatArray:
    """(m,) MSD at lags of 0 .. m - 1 frames, over all atoms and time origins.

    paths: (m, a, 3), without jumps at the cell's faces; the result is in its unit squared. Exact:
    sum_t |r(t + lag)|^2 + |r(t)|^2 by running sums, 2 r(t + lag) r(t) by fast Fourier transforms
    (G. R. Kneller et al., Comput. Phys. Commun. 91, 191 (1995)).
    """
    m, atoms = paths.shape[:2]
    centred = paths - paths.mean(axis=0)
    squares = np.einsum("max,max->m", centred, centred)
    ends = np.cumsum(squares)[::-1] + np.cumsum(squares[::-1])[::-1]
    products = np.zeros(m)
    for start in range(0, atoms, ATOMS_AT_ONCE):
        part = centred[:, start : start + ATOMS_AT_ONCE].reshape(m, -1)
        products += autocorrelation(part).sum(axis=1)
    found = (ends / (m - np.arange(m)) - 2.0 * products) / atoms
    found[0] = 0.0
    return np.asarray(found)


def diffusion(
    motion: Motion,
    species: str,
    *,
    window: tuple[float, float] | None = None,
    blocks: int = BLOCKS,
) -> Diffusion:
    """MSD of an element, and D from a straight line through it.

    window: lags in fs between which the line is fitted; by default 10 to 50 % of a block's length.
    The value is the fit to the whole trajectory's MSD, its error the standard error of the fits to
    `blocks` equal parts of it. Raises ConfigError when the window does not fit into a block.
    """
    paths = without_drift(motion)[:, motion.atoms_of(species)]
    size = len(motion) // max(blocks, 1)
    chosen = window or (WINDOW[0] * size * motion.timestep, WINDOW[1] * size * motion.timestep)
    lags = motion.timestep * np.arange(len(motion), dtype=np.float64)
    fitted = _fitted(lags, chosen, size, blocks)
    curve = mean_squared_displacement(paths)
    parts = [
        _coefficient(lags, mean_squared_displacement(paths[start : start + size]), fitted)
        for start in range(0, blocks * size, size)
    ]
    value = np.asarray(_coefficient(lags, curve, fitted))
    error = over_blocks(np.array(parts)).error
    return Diffusion(lags, curve, Estimate(value, error), chosen)


def _fitted(lags: FloatArray, window: tuple[float, float], size: int, blocks: int) -> IntArray:
    """Frames of lag inside the window."""
    slack = 1e-6 * lags[1]
    inside = np.flatnonzero((lags >= window[0] - slack) & (lags <= window[1] + slack))
    if blocks < 2 or len(inside) < 2 or inside[-1] >= size:
        raise ConfigError(
            f"fit from {window[0]:g} to {window[1]:g} fs in {blocks} blocks of "
            f"{size * lags[1]:g} fs: expected two blocks or more, and two lags or more inside one"
        )
    return np.asarray(inside)


def _coefficient(lags: FloatArray, curve: FloatArray, fitted: IntArray) -> float:
    slope = np.polyfit(lags[fitted], curve[fitted], 1)[0]
    return float(slope / (2 * DIMENSIONS))
