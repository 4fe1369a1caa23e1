"""Worlds in which the force criterion can be judged: a precision, past labels, and one more frame.

Run as a program it prints the rates that docs/method.md quotes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bnnflow.records import Calibration, FloatArray, ForceRegion
from bnnflow.uncertainty import force_length_std, force_limits, update_forces

K = 0.2  # eV/Å
CONFIDENCE = 0.95
A, B = 1.5, 10.0

Draw = Callable[[np.random.Generator, FloatArray], FloatArray]
"""Force errors (n_atoms, 3) of unit precision, for stds (n_atoms, 3)."""


def independent(rng: np.random.Generator, stds: FloatArray) -> FloatArray:
    """Every component on its own, as the likelihood has it."""
    return rng.normal(size=stds.shape) * stds


def along_bonds(rng: np.random.Generator, stds: FloatArray) -> FloatArray:
    """Each atom off along one direction, which no axis need follow."""
    directions = rng.normal(size=stds.shape)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    sizes = rng.normal(size=len(stds)) * force_length_std(stds)
    return sizes[:, None] * directions


def together(rng: np.random.Generator, stds: FloatArray) -> FloatArray:
    """All atoms off by one and the same amount of their stds."""
    return rng.normal() * stds


DRAWS: dict[str, Draw] = {
    "independent": independent,
    "along bonds": along_bonds,
    "together": together,
}


def random_stds(rng: np.random.Generator, n_atoms: int) -> FloatArray:
    """Stds of components, unlike in size and direction."""
    return np.exp(rng.normal(size=(n_atoms, 3)))


def any_beyond(rng: np.random.Generator, draw: Draw, n_atoms: int, n_labels: int) -> bool:
    """Whether, in one world, an atom of a frame at its limits is further off than K.

    Every atom stands exactly at its limit, where the rule still trusts: no frame is worse.
    """
    regions = (ForceRegion("all", tuple(range(n_atoms)), K),)
    precision = rng.gamma(A, 1 / B)
    calibration = Calibration(A, B)
    for _ in range(n_labels):
        stds = random_stds(rng, n_atoms)
        errors = draw(rng, stds) / np.sqrt(precision)
        calibration = update_forces(calibration, errors=errors, forces_std=stds)
    limits = force_limits(regions, (calibration,), n_atoms=n_atoms, confidence=CONFIDENCE)
    stds = random_stds(rng, n_atoms)
    stds *= (limits / force_length_std(stds))[:, None]
    errors = draw(rng, stds) / np.sqrt(precision)
    return bool(np.any(np.linalg.norm(errors, axis=1) > K))


def rate(draw: Draw, n_atoms: int, n_labels: int, worlds: int, seed: int = 0) -> float:
    """The share of worlds in which any atom is beyond its limit."""
    rng = np.random.default_rng(seed)
    return sum(any_beyond(rng, draw, n_atoms, n_labels) for _ in range(worlds)) / worlds


if __name__ == "__main__":
    for n_labels in (0, 10, 60):
        for n_atoms in (1, 9, 100):
            rates = [rate(draw, n_atoms, n_labels, 4000) for draw in DRAWS.values()]
            told = ", ".join(f"{name} {each:.2%}" for name, each in zip(DRAWS, rates, strict=True))
            print(f"{n_labels:3d} labels, {n_atoms:3d} atoms: {told}")
