"""Members evaluated together give what mace-torch gives one by one, and derivatives are right."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from tiny_mace import Tiny, crystal, molecules, moved, rattled, stock_answer, strained

from bnnflow.potentials import Output
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.potentials.mace import MacePotential
from bnnflow.records import Structure
from bnnflow.units import VOIGT

ROUNDING = {"rtol": 1e-10, "atol": 1e-11}


def evaluate(tiny: Tiny, parameters: torch.Tensor, structures: list[Structure]) -> Output:
    stress = all(structure.pbc.all() for structure in structures)
    return tiny.potential.evaluate(parameters, tiny.batch(structures), stress=stress)


def energies(tiny: Tiny, parameters: torch.Tensor, structures: list[Structure]) -> np.ndarray:
    """(k, B), without the isolated atoms."""
    return evaluate(tiny, parameters, structures).energy.detach().numpy()


def test_molecules_of_unequal_size_match_mace_torch(tiny: Tiny) -> None:
    parameters, structures = tiny.members(3), molecules()
    output = evaluate(tiny, parameters, structures)
    batch = tiny.batch(structures)
    for member, row in enumerate(parameters):
        stock = tiny.stock_member(row)
        for frame, structure in enumerate(structures):
            expected = stock_answer(stock, structure)
            energy = output.energy[member, frame].item()
            assert energy == pytest.approx(expected["interaction"], rel=1e-10)
            total = energy + batch.atomic_energy[frame].item()
            assert total == pytest.approx(expected["total"], abs=1e-8)
            forces = output.forces[member, frame, : len(structure)].numpy()
            np.testing.assert_allclose(forces, expected["forces"], **ROUNDING)


def test_periodic_cell_matches_mace_torch(tiny: Tiny) -> None:
    parameters = tiny.members(2)
    output = evaluate(tiny, parameters, [crystal()])
    assert output.stress is not None
    for member, row in enumerate(parameters):
        expected = stock_answer(tiny.stock_member(row), crystal())
        assert output.energy[member, 0].item() == pytest.approx(expected["interaction"], rel=1e-10)
        np.testing.assert_allclose(output.forces[member, 0], expected["forces"], **ROUNDING)
        np.testing.assert_allclose(output.stress[member, 0], expected["stress"], **ROUNDING)


def test_the_out_of_place_scatter_is_mace_torchs() -> None:
    import mace.modules.blocks
    from mace.tools.scatter import scatter_sum

    source, index = torch.randn(7, 3, 2), torch.tensor([4, 0, 0, 2, 4, 4, 1])
    ours = mace.modules.blocks.scatter_sum
    assert ours is not scatter_sum
    arguments = {"src": source, "index": index, "dim": 0, "dim_size": 6}
    torch.testing.assert_close(ours(**arguments), scatter_sum(**arguments))


def test_members_together_equal_members_one_by_one(tiny: Tiny) -> None:
    parameters, structures = tiny.members(3), molecules()
    together = evaluate(tiny, parameters, structures)
    for member in range(3):
        alone = evaluate(tiny, parameters[member : member + 1], structures)
        for name in ("energy", "forces", "force_std"):
            both = getattr(together, name)[member], getattr(alone, name)[0]
            torch.testing.assert_close(*both, rtol=1e-12, atol=1e-12)


def test_forces_are_minus_the_finite_difference_of_the_energy(tiny: Tiny) -> None:
    parameters, structure, h = tiny.members(2), molecules()[1], 1e-4
    shifts = h * np.eye(3 * len(structure)).reshape(-1, len(structure), 3)
    displaced = [moved(structure, sign * shift) for shift in shifts for sign in (1, -1)]
    energy = energies(tiny, parameters, displaced).reshape(2, -1, 2)
    numeric = -(energy[..., 0] - energy[..., 1]) / (2 * h)
    forces = evaluate(tiny, parameters, [structure]).forces[:, 0]
    np.testing.assert_allclose(forces.reshape(2, -1), numeric, atol=1e-6)
    assert np.abs(numeric).max() > 1e-2


def test_stress_is_the_strain_derivative_of_the_energy_over_the_volume(tiny: Tiny) -> None:
    parameters, structure, h = tiny.members(2), crystal(), 1e-5
    output = evaluate(tiny, parameters, [structure]).stress
    assert output is not None
    numeric = []
    for row, column in VOIGT:
        strain = np.zeros((3, 3))
        strain[row, column] += 0.5 * h
        strain[column, row] += 0.5 * h
        pair = [strained(structure, strain), strained(structure, -strain)]
        energy = np.concatenate([energies(tiny, parameters, [one]) for one in pair], axis=1)
        volume = abs(np.linalg.det(structure.cell))
        numeric.append((energy[:, 0] - energy[:, 1]) / (2 * h * volume))
    np.testing.assert_allclose(output[:, 0], np.stack(numeric, axis=-1), atol=1e-7)
    assert np.abs(numeric).min(axis=1).max() > 1e-4


def test_rotating_the_atoms_rotates_forces_and_stress(tiny: Tiny) -> None:
    rotation = Rotation.from_rotvec([0.7, -0.4, 1.1]).as_matrix()
    structure, parameters = crystal(), tiny.members(2)
    turned = replace(
        structure, positions=structure.positions @ rotation.T, cell=structure.cell @ rotation.T
    )
    before, after = (evaluate(tiny, parameters, [one]) for one in (structure, turned))
    torch.testing.assert_close(after.energy, before.energy)
    torch.testing.assert_close(after.force_std, before.force_std)
    turn = torch.as_tensor(rotation)
    torch.testing.assert_close(after.forces, before.forces @ turn.T)
    tensors = [_tensor(output.stress) for output in (before, after)]
    torch.testing.assert_close(tensors[1], turn @ tensors[0] @ turn.T)


def _tensor(stress: torch.Tensor | None) -> torch.Tensor:
    assert stress is not None
    full = stress.new_empty(*stress.shape[:-1], 3, 3)
    for component, (row, column) in enumerate(VOIGT):
        full[..., row, column] = full[..., column, row] = stress[..., component]
    return full


def test_permuting_the_atoms_permutes_forces_and_stds(tiny: Tiny) -> None:
    structure, parameters = molecules()[1], tiny.members(2)
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = Structure(structure.numbers[order], structure.positions[order])
    before, after = (evaluate(tiny, parameters, [one]) for one in (structure, shuffled))
    torch.testing.assert_close(after.energy, before.energy)
    torch.testing.assert_close(after.forces[:, 0], before.forces[:, 0, order])
    torch.testing.assert_close(after.force_std[:, 0], before.force_std[:, 0, order])


def test_translation_changes_nothing(tiny: Tiny) -> None:
    structure, parameters = crystal(), tiny.members(1)
    before = evaluate(tiny, parameters, [structure])
    after = evaluate(tiny, parameters, [moved(structure, np.array([1.3, -0.7, 5.1]))])
    torch.testing.assert_close(after.energy, before.energy)
    torch.testing.assert_close(after.forces, before.forces)


def test_padding_changes_nothing(tiny: Tiny) -> None:
    """Each frame alone has no padding; together all have some, a lone atom most of all."""
    lone = Structure(np.array([8]), np.zeros((1, 3)))
    structures, parameters = [*molecules(), lone], tiny.members(2)
    together = evaluate(tiny, parameters, structures)
    for frame, structure in enumerate(structures):
        alone = evaluate(tiny, parameters, [structure])
        n_atoms = len(structure)
        assert alone.forces.shape[2] == n_atoms
        torch.testing.assert_close(together.energy[:, frame], alone.energy[:, 0])
        torch.testing.assert_close(together.forces[:, frame, :n_atoms], alone.forces[:, 0])
        torch.testing.assert_close(together.force_std[:, frame, :n_atoms], alone.force_std[:, 0])
        assert not together.forces[:, frame, n_atoms:].any()


def test_padding_changes_no_stress(tiny: Tiny) -> None:
    thin = strained(crystal(), 0.25 * np.eye(3))
    parameters = tiny.members(2)
    together = evaluate(tiny, parameters, [crystal(), thin])
    for frame, structure in enumerate((crystal(), thin)):
        alone = evaluate(tiny, parameters, [structure])
        torch.testing.assert_close(together.stress[:, frame], alone.stress[:, 0])


def test_a_batch_for_each_member_equals_the_shared_batch(tiny: Tiny) -> None:
    structures = [crystal(), *molecules()]
    parameters, batch = tiny.members(3), tiny.batch(structures)
    index = torch.tensor([[3, 0], [1, 1], [2, 3]])
    shared = tiny.potential.evaluate(parameters, batch, stress=True)
    taken = tiny.potential.evaluate(parameters, batch.take(index), stress=True)
    for name, value in taken._asdict().items():
        expected = getattr(shared, name)[torch.arange(3)[:, None], index]
        torch.testing.assert_close(value, expected, msg=name)


def test_float32_agrees_with_float64_to_its_rounding(scalar_mace: Tiny) -> None:
    single = MacePotential(copy.deepcopy(scalar_mace.stock).float())
    parameters, structures = scalar_mace.members(2), molecules()
    double = evaluate(scalar_mace, parameters, structures)
    output = single.evaluate(parameters.float(), graph_batch(single, structures))
    assert output.energy.dtype == torch.float32
    torch.testing.assert_close(output.energy.double(), double.energy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.forces.double(), double.forces, rtol=1e-4, atol=1e-5)


def test_create_graph_gives_the_derivative_of_forces_with_respect_to_parameters(
    vector_mace: Tiny,
) -> None:
    """What training on forces needs: d(sum of c F)/d(theta) along a random direction."""
    parameters = vector_mace.members(2).requires_grad_(True)
    batch, h = vector_mace.batch(molecules()[:2]), 1e-5
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(2, *batch.positions.shape, generator=generator, dtype=torch.float64)
    along = torch.randn(parameters.shape, generator=generator, dtype=torch.float64)

    def total(theta: torch.Tensor, create_graph: bool) -> torch.Tensor:
        output = vector_mace.potential.evaluate(theta, batch, create_graph=create_graph)
        return (output.forces * weight).sum()

    (slope,) = torch.autograd.grad(total(parameters, True), parameters)
    centre = parameters.detach()
    numeric = (total(centre + h * along, False) - total(centre - h * along, False)) / (2 * h)
    torch.testing.assert_close((slope * along).sum(), numeric, rtol=1e-6, atol=1e-7)


def test_distant_fragments_do_not_feel_each_other(tiny: Tiny) -> None:
    first, second = molecules()[0], rattled(molecules()[2].to_atoms(), 4)
    far = Structure(
        np.concatenate([first.numbers, second.numbers]),
        np.concatenate([first.positions, second.positions + 50.0]),
    )
    parameters = tiny.members(2)
    sums = energies(tiny, parameters, [first]) + energies(tiny, parameters, [second])
    np.testing.assert_allclose(energies(tiny, parameters, [far]), sums, rtol=1e-12)
