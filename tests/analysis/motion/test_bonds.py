"""Bond lengths of perovskites whose lengths are known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from motions import SKEWED, motion, still

from bnnflow.analysis.motion.averages import over_blocks
from bnnflow.analysis.motion.bonds import bond_lengths, lasting_bond_lengths, lasting_bonds
from bnnflow.analysis.motion.jahn_teller import jahn_teller_lengths, pair_lengths
from bnnflow.errors import ConfigError, StructureError

LONG, MEDIUM, SHORT = 2.235, 2.002, 1.947
"""LaMnO3 as the density functional calculation quoted in METHOD 7 has it, Å."""


def cubic_perovskite(a: float) -> Atoms:
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("LaMnO3", scaled_positions=places, cell=[a] * 3, pbc=True)


def distorted() -> Atoms:
    """Mn in a checkerboard: long bonds along x, short along y, and the other way round."""
    edge, height = LONG + SHORT, 2 * MEDIUM
    atoms = Atoms(cell=[2 * edge, 2 * edge, height], pbc=True)
    for i in range(2):
        for j in range(2):
            manganese = np.array([i * edge, j * edge, 0.0])
            reach = LONG if (i + j) % 2 == 0 else SHORT
            oxygen = [[reach, 0, 0], [0, LONG + SHORT - reach, 0], [0, 0, MEDIUM]]
            atoms += Atoms("MnO3", [manganese, *(manganese + oxygen)])
    return atoms


def shaken(atoms: Atoms, frames: int, std: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return atoms.positions + rng.normal(scale=std, size=(frames, len(atoms), 3))


@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 2), (1, 2, 3)])
def test_six_equal_lengths_in_cells_of_any_size(repeat: tuple[int, int, int]) -> None:
    found = still(cubic_perovskite(3.9).repeat(repeat))
    assert bond_lengths(found, "Mn", "O", count=6) == pytest.approx(1.95)
    bonds = lasting_bonds(found, "Mn", "O", count=6)
    assert lasting_bond_lengths(found, bonds) == pytest.approx(1.95)


def test_further_shells_of_a_small_cell() -> None:
    found = bond_lengths(still(cubic_perovskite(4.0)), "Mn", "Mn", count=20)
    wanted = [4.0] * 6 + [32**0.5] * 12 + [48**0.5] * 2
    assert found[0, 0] == pytest.approx(np.array(wanted))
    bonds = lasting_bonds(still(cubic_perovskite(4.0)), "Mn", "Mn", count=20)
    assert lasting_bond_lengths(still(cubic_perovskite(4.0)), bonds)[0, 0] == pytest.approx(wanted)


def test_the_three_lengths_of_a_distorted_octahedron() -> None:
    found = still(distorted(), 10)
    nearest = bond_lengths(found, "Mn", "O", count=6)
    assert nearest.shape == (10, 4, 6)
    assert pair_lengths(nearest) == pytest.approx(np.full((10, 4, 3), [LONG, MEDIUM, SHORT]))
    lengths = lasting_bond_lengths(found, lasting_bonds(found, "Mn", "O", count=6))
    result = jahn_teller_lengths(lengths, blocks=5)
    for estimate in (result.lasting, result.instantaneous):
        assert estimate.value == pytest.approx([LONG, MEDIUM, SHORT])
        assert estimate.error == pytest.approx(0.0, abs=1e-12)


def test_vibration_alone_splits_lengths_sorted_frame_by_frame() -> None:
    """Pair means of six sorted normal deviates: +-(1.26721 + 0.64176) / 2 = 0.95448 and 0."""
    rng = np.random.default_rng(6)
    lengths = 2.0 + 0.03 * rng.normal(size=(4000, 16, 6))
    result = jahn_teller_lengths(lengths, blocks=10)
    split = 0.03 * 0.95448
    assert result.instantaneous.value == pytest.approx([2 + split, 2.0, 2 - split], abs=2e-4)
    assert np.ptp(result.lasting.value) == pytest.approx(2 * split / np.sqrt(400), rel=0.1)
    assert np.ptp(result.lasting.value) == pytest.approx(2 * result.noise, rel=0.1)


def test_lasting_lengths_keep_a_distortion_that_vibration_hides() -> None:
    atoms = distorted()
    found = motion(list(atoms.symbols), shaken(atoms, 500, 0.08, 7), atoms.cell.array)
    bonds = lasting_bonds(found, "Mn", "O", count=6)
    result = jahn_teller_lengths(lasting_bond_lengths(found, bonds))
    # vibration across a bond lengthens it by its variance, 2 x 2 x 0.08^2 / (2 l), on average
    stretched = np.array([LONG, MEDIUM, SHORT]) + 2 * 0.08**2 / np.array([LONG, MEDIUM, SHORT])
    assert result.lasting.value == pytest.approx(stretched, abs=0.006)
    estimates = (result.lasting, result.instantaneous)
    lasting, at_once = (estimate.value[1] - estimate.value[2] for estimate in estimates)
    assert at_once > 1.5 * lasting
    assert result.series.shape == (10, 3)
    assert result.lasting.value[1] - result.lasting.value[2] > 3 * result.noise


def test_lengths_follow_a_cell_that_changes() -> None:
    rng = np.random.default_rng(8)
    atoms = distorted()
    strains = np.eye(3) + rng.normal(scale=0.01, size=(20, 3, 3))
    cells = atoms.cell.array @ strains
    places = atoms.get_scaled_positions() @ cells
    found = motion(list(atoms.symbols), places, cells)
    lengths = lasting_bond_lengths(found, lasting_bonds(found, "Mn", "O", count=6))
    for frame in range(20):
        snapshot = Atoms(atoms.symbols, places[frame], cell=cells[frame], pbc=True)
        wanted = np.sort(snapshot.get_all_distances(mic=True)[0, [1, 2, 3]])
        assert np.isin(np.round(wanted, 8), np.round(lengths[frame, 0], 8)).all()
    assert np.sort(lengths, axis=2) == pytest.approx(bond_lengths(found, "Mn", "O", count=6))


def test_bonds_are_kept_when_the_whole_crystal_drifts_out_of_its_cell() -> None:
    atoms = cubic_perovskite(3.9)
    drift = np.linspace(0.0, 30.0, 40)[:, None, None]
    places = (atoms.positions + drift) % 3.9
    found = motion(list(atoms.symbols), places, atoms.cell.array)
    bonds = lasting_bonds(found, "Mn", "O", count=6)
    assert lasting_bond_lengths(found, bonds) == pytest.approx(1.95)


def test_nearest_lengths_in_a_skewed_cell_equal_ase() -> None:
    rng = np.random.default_rng(9)
    atoms = Atoms("S5H", rng.uniform(0, 4, size=(6, 3)), cell=SKEWED, pbc=True)
    from ase.neighborlist import neighbor_list

    i, d = neighbor_list("id", atoms, {("H", "S"): 9.0})
    wanted = np.sort(d[i == 5])[:9]
    assert bond_lengths(still(atoms), "H", "S", count=9)[0, 0] == pytest.approx(wanted)


def test_a_molecule_has_no_images() -> None:
    water = Atoms("OH2", [[0, 0, 0], [0, 0, 1.0], [0, 1.1, 0]])
    assert bond_lengths(still(water), "O", "H", count=2)[0, 0] == pytest.approx([1.0, 1.1])
    with pytest.raises(StructureError, match="2 H atoms around it, expected 3"):
        bond_lengths(still(water), "O", "H", count=3)
    with pytest.raises(StructureError, match="1 H atoms around it, expected 2"):
        lasting_bonds(still(water), "H", "H", count=2)


def test_wrong_numbers_are_refused() -> None:
    rocksalt = still(bulk("NaCl", "rocksalt", a=5.6), 4)
    lengths = bond_lengths(rocksalt, "Na", "Cl", count=5)
    with pytest.raises(StructureError, match="found 5 lengths per site, expected 6"):
        pair_lengths(lengths)
    with pytest.raises(ConfigError, match="10 blocks of 4 frames"):
        jahn_teller_lengths(bond_lengths(rocksalt, "Na", "Cl", count=6))


def test_error_bar_over_blocks_is_the_standard_error() -> None:
    found = over_blocks(np.array([1.0, 2.0, 3.0, 6.0]))
    assert (float(found.value), float(found.error)) == pytest.approx((3.0, (14 / 3) ** 0.5 / 2))
