"""From the members' predictions to one mean and one standard deviation (METHOD 4)."""

from __future__ import annotations

import numpy as np

from bnnflow.records import FloatArray, Prediction

__all__ = ["reduce_members"]


def reduce_members(
    *,
    energy: FloatArray,
    forces: FloatArray,
    force_std: FloatArray,
    stress: FloatArray | None,
    energy_std_floor: float,
    stress_std: float,
) -> Prediction:
    """Mean and standard deviation of the mixture that k members form.

    energy: (k,) eV; forces: (k, n_atoms, 3) eV/Å; force_std: (k, n_atoms) eV/Å, sigma_i of each
    member's head; stress: (k, 6) eV/Å³ or None; energy_std_floor: eV and stress_std: eV/Å³, the
    fixed likelihood stds. Every variance is the spread between members, with 1/(k - 1), plus the
    members' mean noise variance; one member alone has no spread. Source: METHOD 4, [R26] B.9.
    """
    force_noise = np.mean(force_std**2, axis=0)[:, None]
    return Prediction(
        energy=float(energy.mean()),
        energy_std=float(np.sqrt(_spread_variance(energy) + energy_std_floor**2)),
        energy_spread=float(np.sqrt(_spread_variance(energy))),
        member_energies=energy,
        forces=forces.mean(axis=0),
        forces_std=np.sqrt(_spread_variance(forces) + force_noise),
        stress=None if stress is None else stress.mean(axis=0),
        stress_std=None if stress is None else np.sqrt(_spread_variance(stress) + stress_std**2),
    )


def _spread_variance(members: FloatArray) -> FloatArray:
    """Unbiased variance over the first axis; zero for a single member."""
    if len(members) == 1:
        return np.zeros(members.shape[1:])
    return np.asarray(members.var(axis=0, ddof=1))
