"""Starting velocities against the Maxwell-Boltzmann distribution."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from md_toys import DYNAMICS, argons, copper

from bnnflow.errors import StructureError
from bnnflow.md import start
from bnnflow.records import Checkpoint, Structure
from bnnflow.units import KB


def ethanol() -> Structure:
    return Structure.from_atoms(molecule("CH3CH2OH"))


def moving_atoms(checkpoint: Checkpoint) -> Atoms:
    atoms = checkpoint.structure.to_atoms()
    atoms.set_velocities(checkpoint.velocities)
    return atoms


def test_kinetic_energy_has_the_mean_and_variance_of_its_degrees_of_freedom() -> None:
    """2 E / kT is chi-squared: 21 degrees of freedom are left of ethanol's 27."""
    ensemble = [
        2.0
        * moving_atoms(
            start(ethanol(), dynamics=DYNAMICS["langevin"], seed=seed)
        ).get_kinetic_energy()
        / (KB * 300.0)
        for seed in range(800)
    ]
    assert np.mean(ensemble) == pytest.approx(21.0, abs=5 * np.sqrt(2 * 21 / 800))
    assert np.var(ensemble) == pytest.approx(2 * 21.0, rel=0.2)


@pytest.mark.parametrize("structure", [ethanol(), argons(3)], ids=["bent", "linear"])
def test_molecules_neither_drift_nor_spin(structure: Structure) -> None:
    atoms = moving_atoms(start(structure, dynamics=DYNAMICS["langevin"], seed=3))
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12
    assert np.abs(atoms.get_angular_momentum()).max() < 1e-11
    assert atoms.get_kinetic_energy() > 0.0


def test_a_linear_molecule_loses_two_rotations_and_not_three() -> None:
    """3 atoms on a line keep 9 - 3 - 2 degrees of freedom."""
    twice = [
        2.0
        * moving_atoms(
            start(argons(3), dynamics=DYNAMICS["langevin"], seed=seed)
        ).get_kinetic_energy()
        / (KB * 300.0)
        for seed in range(500)
    ]
    assert np.mean(twice) == pytest.approx(4.0, abs=5 * np.sqrt(2 * 4 / 500))


def test_a_crystal_keeps_its_angular_momentum() -> None:
    atoms = moving_atoms(start(copper(), dynamics=DYNAMICS["npt"], seed=3))
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12
    assert np.abs(atoms.get_angular_momentum()).max() > 1e-3


def test_the_seed_decides() -> None:
    first, again, other = (
        start(ethanol(), dynamics=DYNAMICS["langevin"], seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.velocities, again.velocities)
    assert first.rng == again.rng
    assert np.abs(first.velocities - other.velocities).max() > 1e-3
    assert first.step == 0 and first.forcing is None


def test_npt_refuses_cells_it_cannot_move() -> None:
    primitive = Structure.from_atoms(bulk("Cu"))
    with pytest.raises(StructureError, match="at least 2"):
        start(primitive, dynamics=DYNAMICS["npt"], seed=1)
    pair = Structure.from_atoms(bulk("NaCl", "rocksalt", a=5.6))
    with pytest.raises(StructureError, match="standard_form"):
        start(pair, dynamics=DYNAMICS["npt"], seed=1)
    with pytest.raises(StructureError, match="three periodic directions"):
        start(ethanol(), dynamics=DYNAMICS["npt"], seed=1)


def test_npt_takes_the_cell_that_its_message_advises() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    assert start(Structure.from_atoms(atoms), dynamics=DYNAMICS["npt"], seed=1).step == 0
