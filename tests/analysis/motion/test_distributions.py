"""g(r) and angles of crystals and of the ideal gas; frequencies of oscillators."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.morse import MorsePotential
from ase.md.verlet import VelocityVerlet
from motions import SKEWED, motion, still

from bnnflow.analysis.motion.angular import angular_distribution
from bnnflow.analysis.motion.radial import radial_distribution
from bnnflow.analysis.motion.spectrum import vibrational_density
from bnnflow.errors import ConfigError, StructureError


def gas(frames: int, atoms: int, cell: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(frames, atoms, 3)) @ cell


def test_ideal_gas_has_g_of_one() -> None:
    cell = 4.0 * SKEWED
    found = motion(["H"] * 60 + ["O"] * 40, gas(60, 100, cell, 1), cell)
    unlike = radial_distribution(found, "H", "O", reach=6.0, bins=12)
    alike = radial_distribution(found, "O", "O", reach=6.0, bins=12)
    assert unlike.density[3:] == pytest.approx(1.0, abs=0.06)
    assert alike.density[3:] == pytest.approx(1.0 - 1 / 40, abs=0.08)
    assert unlike.neighbours[-1] == pytest.approx(
        40 * 4 / 3 * np.pi * 6**3 / np.linalg.det(cell), rel=0.02
    )


def test_g_is_normalised_by_the_volume_of_each_frame() -> None:
    edges = np.linspace(8.0, 16.0, 200)
    cells = edges[:, None, None] * np.eye(3)
    rng = np.random.default_rng(2)
    places = rng.uniform(size=(200, 30, 3)) @ cells
    found = radial_distribution(motion(["H"] * 15 + ["O"] * 15, places, cells), "H", "O", bins=6)
    assert found.density[2:] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("repeat", [1, 3])
def test_shells_of_rocksalt(repeat: int) -> None:
    salt = still(bulk("NaCl", "rocksalt", a=5.6).repeat(repeat))
    found = radial_distribution(salt, "Na", "Cl", reach=7.02, bins=140)
    shells = {2.8: 6, 2.8 * 3**0.5: 14, 2.8 * 5**0.5: 38}
    for place, count in shells.items():
        inside = int(np.searchsorted(found.edges, place)) - 1
        assert found.neighbours[inside] == pytest.approx(count)
        assert found.density[inside] > 1.0
    assert found.peak[0] == pytest.approx(2.8, abs=0.05)
    assert found.first_shell[1] == pytest.approx(6.0)
    assert np.count_nonzero(found.density) == 3


def test_g_of_nothing_near_and_of_a_molecule() -> None:
    far = radial_distribution(
        still(Atoms("HO", [[0] * 3, [5] * 3], cell=[20] * 3, pbc=True)), "H", "O"
    )
    assert not far.density.any() and np.isnan([*far.peak, *far.first_shell]).all()
    with pytest.raises(StructureError, match="needs a volume"):
        radial_distribution(still(molecule("H2O")), "H", "O")
    with pytest.raises(ConfigError, match="reach -1"):
        radial_distribution(still(bulk("Cu")), "Cu", "Cu", reach=-1.0)


def test_angles_of_an_octahedron() -> None:
    salt = still(bulk("NaCl", "rocksalt", a=5.6))
    found = angular_distribution(salt, ("Cl", "Na", "Cl"), cutoff=3.0, bins=36)
    assert found.count == 2 * 15
    shares = {found.centres[i]: found.density[i] * 5.0 for i in np.flatnonzero(found.density)}
    assert shares == pytest.approx({92.5: 12 / 15, 177.5: 3 / 15})


def test_angles_between_unlike_neighbours() -> None:
    water = still(molecule("H2O"))
    assert angular_distribution(water, ("H", "O", "H"), cutoff=1.2).count == 2
    atoms = Atoms("CHHO", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1.1, 0, 0]])
    found = angular_distribution(still(atoms), ("H", "C", "O"), cutoff=1.5, bins=4)
    assert found.count == 2 * 2
    assert found.density * 45.0 == pytest.approx([0, 0, 0.5, 0.5])
    swapped = angular_distribution(still(atoms), ("O", "C", "H"), cutoff=1.5, bins=4)
    assert np.array_equal(swapped.density, found.density)
    every = angular_distribution(still(atoms), ("all", "C", "O"), cutoff=1.5, bins=4)
    assert every.count == 2 * 2  # O-C-O would need two oxygens
    assert angular_distribution(still(atoms), ("all", "C", "all"), cutoff=1.5).count == 2 * 3


def test_tetrahedral_angle_of_diamond() -> None:
    found = angular_distribution(still(bulk("C", a=3.57)), ("C", "C", "C"), cutoff=1.8, bins=180)
    assert found.count == 2 * 2 * 6
    assert found.centres[found.density.argmax()] == pytest.approx(
        np.degrees(np.arccos(-1 / 3)), abs=0.5
    )


def test_directions_at_random_are_flat_relative_to_the_sine() -> None:
    found = motion(["H"] + ["O"] * 60, gas(150, 61, np.eye(3) * 10.0, 3), 10.0)
    angles = angular_distribution(found, ("O", "H", "O"), cutoff=4.0, bins=9)
    assert angles.relative == pytest.approx(1.0, abs=0.08)
    assert np.sum(angles.density) * 20.0 == pytest.approx(1.0)


def test_no_angle_is_nan() -> None:
    found = angular_distribution(still(molecule("H2O")), ("H", "O", "H"), cutoff=0.1)
    assert found.count == 0 and np.isnan(found.density).all()


def oscillation(frequencies: list[float], masses: list[str], timestep: float, m: int) -> np.ndarray:
    """Each pair of atoms vibrates against one another along x; energies are equal."""
    from ase.data import atomic_masses, atomic_numbers

    time = timestep * np.arange(m)
    places = np.zeros((m, 2 * len(frequencies), 3))
    for pair, (frequency, name) in enumerate(zip(frequencies, masses, strict=True)):
        mass = atomic_masses[atomic_numbers[name]]
        phase = 2 * np.pi * frequency / 1000.0 * time + pair
        swing = np.cos(phase) / (frequency * np.sqrt(mass))
        places[:, 2 * pair, 0], places[:, 2 * pair + 1, 0] = swing, -swing
        places[:, 2 * pair :, 1] += 5.0
    return places


def test_oscillators_of_equal_energy_have_lines_of_equal_area() -> None:
    names = ["H", "H", "O", "O"]
    places = oscillation([100.0, 20.0], ["H", "O"], 0.5, 8000)
    found = vibrational_density(motion(names, places, 30.0, timestep=0.5), "all")
    assert sorted(found.peaks) == pytest.approx([20.0, 100.0], abs=0.2)
    step = found.frequencies[1]
    assert found.density.sum() * step == pytest.approx(3 * 4)
    low = found.density[found.frequencies < 60.0].sum() * step
    assert low == pytest.approx(6.0, rel=0.03)


def test_a_line_is_as_wide_as_the_resolution() -> None:
    places = oscillation([50.0], ["O"], 1.0, 8000)
    found = vibrational_density(motion("O", places, 30.0), "O", lag_fs=800.0)
    assert found.resolution == pytest.approx(1.25)
    above = found.frequencies[found.density > 0.5 * found.density.max()]
    assert len(above) * found.frequencies[1] == pytest.approx(1.25, abs=0.16)


def test_coarse_sampling_keeps_the_ratio_of_areas() -> None:
    """Every fourth frame: differences see 100 THz weakened to 0.76 in velocity, 0.57 in g."""
    places = oscillation([100.0, 20.0], ["H", "O"], 4.0, 4000)
    names = ["H", "H", "O", "O"]
    found = vibrational_density(motion(names, places, 30.0, timestep=4.0), "all")
    low = found.density[found.frequencies < 60.0].sum() * found.frequencies[1]
    assert low == pytest.approx(6.0, rel=0.03)


def test_frequency_of_molecular_dynamics_of_a_diatomic_molecule() -> None:
    """Morse: k = 2 epsilon rho0^2 / r0^2, f = sqrt(k / mu) / 2 pi; small swings.

    Verlet's integrator with step dt turns f into arcsin(pi f dt) / (pi dt), 0.4 % more here.
    """
    epsilon, rho0, r0 = 4.5, 4.0, 0.95
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, r0 + 0.004]])
    atoms.calc = MorsePotential(epsilon=epsilon, rho0=rho0, r0=r0, rcut1=8.0, rcut2=9.0)
    frames: list[np.ndarray] = []
    dynamics = VelocityVerlet(atoms, timestep=0.25 * units.fs)
    dynamics.attach(lambda: frames.append(atoms.get_positions()))
    dynamics.run(1200)
    mass = np.prod(atoms.get_masses()) / atoms.get_masses().sum()
    frequency = np.sqrt(2 * epsilon * rho0**2 / r0**2 / mass) / (2 * np.pi) * units.fs
    wanted = np.arcsin(np.pi * frequency * 0.25) / (np.pi * 0.25) * 1000.0
    found = vibrational_density(
        motion(["O", "H"], np.array(frames), timestep=0.25), "H", lag_fs=290.0
    )
    assert found.peaks == pytest.approx([wanted], rel=2e-3)


def test_atoms_that_stand_still_have_no_spectrum() -> None:
    found = vibrational_density(motion("H", np.zeros((50, 1, 3)), 5.0), "H")
    assert not found.density.any() and not len(found.peaks)


@pytest.mark.parametrize("lag", [2.0, 60.0])
def test_a_lag_that_does_not_fit_is_refused(lag: float) -> None:
    with pytest.raises(ConfigError, match=f"lag {lag:g} fs is {lag:g} frames of 50"):
        vibrational_density(motion("H", np.zeros((50, 1, 3)), 5.0), "H", lag_fs=lag)
