"""The force criterion: is any atom's force further off than its limit? (METHOD 6, DECISIONS 20)

The length of atom i's force error, |e_i|, is held below K of its region. Its predicted std is

    t_i² = sum_c sigma_ic²        over the three components of METHOD 4,

the same in every orientation of the axes. Errors of a region share a precision factor as those of
energies do: given lambda, |e_i|² = (t_i² / lambda) Q_i, where Q_i = sum_c w_c z_c² with the
eigenvalues w_c of the error's covariance over their sum, and z_c standard normal. How t_i² is
shared out over directions is not known: members disagree along a bond as often as along an axis. So
the worst case stands in for it. The tail of Q beyond any x is largest for m equal weights, m = 1, 2
or 3 (Székely and Bakirov, Probab. Theory Relat. Fields 126, 184, 2003). With lambda from
Gamma(nu/2, nu/2), where a test integrates it for all weights, those are the F distributions:

    P(|e_i| > K) <= max_m P(F(m, nu) > K² / s_i²),    s_i = t_i * inflation,    nu = 2a + n.

In the far tail m = 1 is the worst: 2 T_nu(-K / s_i), as for the energy.

Family-wise rate. P(any of the n atoms of all regions beyond its limit) <= sum_i P(|e_i| > K_i)
whatever the errors have in common (Bonferroni), so each atom gets (1 - confidence) / n. It is
conservative: atoms share lambda and their neighbours, so that errors beyond the limit come
together, and an atom well below its limit uses less than its part. Between two updates the rule is
one number per atom, the largest trusted t_i.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from bnnflow.records import Calibration, FloatArray, ForceRegion, ForceVerdict
from bnnflow.uncertainty.calibration import degrees_of_freedom, inflation, update

__all__ = [
    "force_limits",
    "force_length_std",
    "force_ratio",
    "judge_forces",
    "largest_trusted_force_std",
    "probability_force_within",
    "update_forces",
]

DIRECTIONS = np.array([1, 2, 3])
"""In how many directions an atom's force error may point, equally: the worst cases of Q."""


def force_length_std(forces_std: FloatArray) -> FloatArray:
    """t_i of each atom, (n_atoms,) eV/Å, from the stds of its force components, (n_atoms, 3)."""
    return np.asarray(np.sqrt(np.einsum("ic,ic->i", forces_std, forces_std)))


def probability_force_within(calibration: Calibration, *, std: float, limit: float) -> float:
    """P(|force error of an atom| < K), at least. std: t_i, eV/Å; limit: K, eV/Å."""
    ratio = (limit / (std * inflation(calibration))) ** 2
    return float(1.0 - np.max(stats.f.sf(ratio, DIRECTIONS, degrees_of_freedom(calibration))))


def largest_trusted_force_std(
    calibration: Calibration, *, limit: float, confidence: float = 0.95, n_atoms: int = 1
) -> float:
    """The t_i up to which an atom's force is trusted, eV/Å.

    limit: K of its region, eV/Å; confidence: that none of the `n_atoms` atoms of all regions is
    beyond its limit. The inverse of `probability_force_within`.
    """
    tail = (1.0 - confidence) / n_atoms
    quantiles = stats.f.isf(tail, DIRECTIONS, degrees_of_freedom(calibration))
    return float(limit / (np.sqrt(np.max(quantiles)) * inflation(calibration)))


def force_limits(
    regions: Sequence[ForceRegion],
    calibrations: Sequence[Calibration],
    *,
    n_atoms: int,
    confidence: float,
) -> FloatArray | None:
    """The largest trusted t_i of every atom of the structure, (n_atoms,) eV/Å.

    inf for atoms in no region; None without regions. confidence: of the whole family.
    """
    if not regions:
        return None
    family = sum(len(region.atoms) for region in regions)
    limits = np.full(n_atoms, np.inf)
    for region, calibration in zip(regions, calibrations, strict=True):
        limits[list(region.atoms)] = largest_trusted_force_std(
            calibration, limit=region.limit, confidence=confidence, n_atoms=family
        )
    return limits


def force_ratio(forces_std: FloatArray, limits: FloatArray) -> float:
    """The largest t_i over its limit: the frame is trusted while this is at most 1.

    NaN, which is not trusted, where a std or a limit is not a number.
    """
    return float(np.max(force_length_std(forces_std) / limits))


def judge_forces(
    regions: Sequence[ForceRegion],
    calibrations: Sequence[Calibration],
    limits: FloatArray,
    forces_std: FloatArray,
) -> ForceVerdict:
    """The force criterion at the atom that is nearest to its limit, or farthest beyond it."""
    stds = force_length_std(forces_std)
    atom = int(np.argmax(stds / limits))
    std, limit = float(stds[atom]), float(limits[atom])
    for region, calibration in zip(regions, calibrations, strict=True):
        if atom in region.atoms:
            within = probability_force_within(calibration, std=std, limit=region.limit)
            return ForceVerdict(atom, std, limit, within)
    return ForceVerdict(atom, std, limit, 1.0)


def update_forces(
    calibration: Calibration, *, errors: FloatArray, forces_std: FloatArray
) -> Calibration:
    """The calibration of a region after one more label.

    errors, forces_std: (n, 3) eV/Å, of the region's atoms. What enters is one error, whose square
    is the mean over atoms of |e_i|² / t_i². Its 3n components are no 3n pieces of evidence: they
    come from one frame, whose atoms share what the ensemble got wrong. How much they share is not
    known, so the frame counts as fully correlated ones would, as one: nu is never too large. Raises
    ValueError as `update` does.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # `update` refuses what comes of it
        squares = np.sum(errors**2, axis=1) / force_length_std(forces_std) ** 2
    return update(calibration, error=float(np.sqrt(np.mean(squares))), std=1.0)
