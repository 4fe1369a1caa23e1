"""What a potential must be, whatever network is inside: see `protocol.Potential`.

Every test asks a potential for what it declares (`conservative`, `has_stress`,
`exactly_equivariant`). To add a potential, add a line to `every_potential.POTENTIALS`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from every_potential import NAMES, POTENTIALS, Case
from scipy.spatial.transform import Rotation
from tiny_mace import moved, strained

from bnnflow.errors import StructureError
from bnnflow.potentials import load_potential
from bnnflow.records import PotentialSpec, Structure
from bnnflow.units import FORCE_STD_START, VOIGT, tensor_from_voigt

STEP = 1e-5
"""Å, or strain, of central differences."""


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return POTENTIALS[request.param]()


def one_row(case: Case) -> torch.Tensor:
    return case.members(1)


def energies(case: Case, structures: list[Structure]) -> np.ndarray:
    return case.evaluate(one_row(case), structures).energy[0].detach().numpy()


def shaken(structure: Structure, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=structure.positions.shape)


def close(
    found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-9, *, least: float = 1e-3
) -> None:
    """Equal within a share of the largest value, which counts as `least` at least."""
    scale = float(expected.detach().abs().max().clamp(min=least))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=tolerance * scale)


def test_forces_are_the_slope_of_the_energy(case: Case) -> None:
    if not case.potential.conservative:
        pytest.skip("not declared: conservative")
    for seed, structure in enumerate(case.structures):
        direction = shaken(structure, seed)
        low, high = energies(
            case, [moved(structure, sign * STEP * direction) for sign in (-1.0, 1.0)]
        )
        forces = case.evaluate(one_row(case), [structure]).forces[0, 0].detach().numpy()
        along = float((forces * direction).sum())
        assert -(high - low) / (2 * STEP) == pytest.approx(along, rel=1e-5, abs=1e-6)


def test_stress_is_the_slope_by_strain_per_volume(case: Case) -> None:
    if not case.potential.has_stress:
        pytest.skip("not declared: has_stress")
    for structure in case.crystals:
        output = case.evaluate(one_row(case), [structure], stress=True)
        volume = abs(np.linalg.det(structure.cell))
        strains = np.zeros((6, 3, 3))
        for strain, (row, column) in zip(strains, VOIGT, strict=True):
            strain[row, column] += 0.5 * STEP
            strain[column, row] += 0.5 * STEP
        low, high = (
            energies(case, [strained(structure, sign * strain) for strain in strains])
            for sign in (-1.0, 1.0)
        )
        slopes = (high - low) / (2 * STEP) / volume
        scale = float(np.abs(slopes).max())
        np.testing.assert_allclose(output.stress[0, 0].detach(), slopes, rtol=0, atol=1e-4 * scale)


def test_rotating_atoms_and_cell_rotates_forces_and_stress(case: Case) -> None:
    if not case.potential.exactly_equivariant:
        pytest.skip("not declared: exactly_equivariant")
    turn = Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix()
    for structure in case.structures:
        periodic = bool(structure.pbc.all())
        turned = Structure(
            structure.numbers, structure.positions @ turn.T, structure.cell @ turn.T, structure.pbc
        )
        one, other = (
            case.evaluate(one_row(case), [each], stress=periodic) for each in (structure, turned)
        )
        matrix = torch.as_tensor(turn)
        close(other.energy, one.energy)
        close(other.force_std, one.force_std)
        close(other.forces, one.forces @ matrix.T)
        if periodic:
            tensor = torch.as_tensor(tensor_from_voigt(one.stress.detach().numpy()))
            found = torch.as_tensor(tensor_from_voigt(other.stress.detach().numpy()))
            close(found, matrix @ tensor @ matrix.T)


def test_moving_everything_or_an_atom_by_a_lattice_vector_changes_nothing(case: Case) -> None:
    for structure in case.structures:
        shift = np.tile([0.7, -2.1, 1.3], (len(structure), 1))
        shift[0] += structure.cell[0] - 2 * structure.cell[2]  # no cell: nothing
        one, other = (
            case.evaluate(one_row(case), [each]) for each in (structure, moved(structure, shift))
        )
        close(other.energy, one.energy)
        close(other.forces, one.forces)


def test_the_order_of_atoms_is_of_no_importance(case: Case) -> None:
    for structure in case.structures:
        order = np.random.default_rng(3).permutation(len(structure))
        mixed = Structure(
            structure.numbers[order], structure.positions[order], structure.cell, structure.pbc
        )
        one, other = (case.evaluate(one_row(case), [each]) for each in (structure, mixed))
        close(other.energy, one.energy)
        close(other.forces, one.forces[:, :, order])
        close(other.force_std, one.force_std[:, :, order])


def test_a_doubled_cell_has_twice_the_energy(case: Case) -> None:
    for structure in case.crystals:
        doubled = Structure.from_atoms(structure.to_atoms().repeat((2, 1, 1)))
        both = (structure, doubled)
        one, two = (case.evaluate(one_row(case), [each], stress=True) for each in both)
        close(two.energy, 2 * one.energy)
        close(two.forces, one.forces.repeat(1, 1, 2, 1))
        close(two.force_std, one.force_std.repeat(1, 1, 2))
        close(two.stress, one.stress)
        reference = [case.potential.collate([each]).atomic_energy.item() for each in both]
        assert reference[1] == pytest.approx(2 * reference[0], rel=1e-14)


def test_far_molecules_add_up(case: Case) -> None:
    one, other = case.molecules[:2]
    away = np.array([3.0 * case.potential.cutoff, 0.0, 0.0])
    both = Structure(
        np.concatenate([one.numbers, other.numbers]),
        np.concatenate([one.positions, other.positions + away]),
    )
    parts = energies(case, [one, other])
    assert energies(case, [both])[0] == pytest.approx(parts.sum(), rel=1e-10)


def test_members_side_by_side_are_members_one_by_one(case: Case) -> None:
    parameters = case.members(3)
    for structure in (case.molecules[0], case.crystals[-1]):
        periodic = bool(structure.pbc.all())
        together = case.evaluate(parameters, [structure], stress=periodic)
        alone = [case.evaluate(row[None], [structure], stress=periodic) for row in parameters]
        assert together.energy.std() > 0
        for name, found in together._asdict().items():
            if found is not None:
                close(found, torch.cat([getattr(each, name) for each in alone]))


@pytest.mark.parametrize("kind", ["molecules", "crystals", "structures"])
def test_frames_of_unequal_size_are_frames_alone(case: Case, kind: str) -> None:
    structures, stress = getattr(case, kind), kind == "crystals"
    parameters = case.members(2)
    together = case.evaluate(parameters, structures, stress=stress)
    for frame, structure in enumerate(structures):
        alone, n = case.evaluate(parameters, [structure], stress=stress), len(structure)
        close(together.energy[:, frame], alone.energy[:, 0])
        close(together.forces[:, frame, :n], alone.forces[:, 0])
        close(together.force_std[:, frame, :n], alone.force_std[:, 0])
        assert not together.forces[:, frame, n:].any()
        if stress:
            close(together.stress[:, frame], alone.stress[:, 0])


def test_every_member_may_have_frames_of_its_own(case: Case) -> None:
    parameters = case.members(2)
    batch = case.potential.collate(case.structures)
    index = torch.tensor([[len(case.structures) - 1, 0], [1, len(case.structures) - 1]])
    arguments = {"stress": False, "create_graph": False}
    own = case.potential.evaluate(parameters, batch.take(index), **arguments)
    shared = case.potential.evaluate(parameters, batch, **arguments)
    for member, frames in enumerate(index):
        close(own.energy[member], shared.energy[member, frames])
        close(own.forces[member], shared.forces[member, frames])


@pytest.mark.parametrize("kind", ["molecules", "crystals"])
def test_gradient_by_parameters_is_the_slope_of_the_loss(case: Case, kind: str) -> None:
    """Forces and stress in the loss: derivatives of derivatives."""
    batch = case.potential.collate(getattr(case, kind))
    parameters = case.members(2)
    gradient = case.gradient(parameters, batch)
    generator = torch.Generator().manual_seed(1)
    # Wider where the gradient is small, so that no parameter's part is lost beside others'.
    direction = case.potential.layout.flatten(
        {
            name: torch.randn(part.shape, generator=generator, dtype=part.dtype)
            / part.abs().max().clamp(min=1e-3 * gradient.abs().max())
            for name, part in case.potential.layout.unflatten(gradient).items()
        }
    )
    direction *= 1e-5 / direction.abs().max()
    low, high = (case.loss(parameters + sign * direction, batch).item() for sign in (-1.0, 1.0))
    along = float((gradient * direction).sum())
    assert 0.5 * (high - low) == pytest.approx(along, rel=2e-4)


def test_parameters_are_a_flat_vector(case: Case) -> None:
    layout, mean = case.potential.layout, case.potential.prior_mean()
    assert mean.shape == (layout.size,)
    assert mean.dtype == case.potential.dtype == torch.float64
    rows = torch.arange(2 * layout.size, dtype=torch.float64).reshape(2, -1)
    assert torch.equal(layout.flatten(layout.unflatten(rows)), rows)
    mean += 1.0
    assert not torch.equal(case.potential.prior_mean(), mean)


def test_what_is_not_active_changes_nothing(case: Case) -> None:
    counts: list[int] = []
    for structure in case.structures:
        active = case.potential.active(tuple(set(structure.numbers.tolist())))
        counts.append(int(active.sum()))
        one = case.members(2)
        other = torch.where(active, one, torch.full_like(one, 3.0))
        before, after = (case.evaluate(rows, [structure], stress=False) for rows in (one, other))
        for name in ("energy", "forces", "force_std"):
            close(getattr(after, name), getattr(before, name), 1e-13)
    assert 0 < min(counts) < case.potential.layout.size


def test_every_active_parameter_does_something(case: Case) -> None:
    for structure in case.crystals:
        active = case.potential.active(tuple(set(structure.numbers.tolist())))
        gradient = case.gradient(one_row(case), case.potential.collate([structure]))[0]
        named, acts = (case.potential.layout.unflatten(each) for each in (gradient, active))
        silent = [name for name in named if acts[name].any() and not named[name][acts[name]].any()]
        assert silent == []
        assert not gradient[~active].any()


def test_a_start_has_the_trained_network_and_s0_everywhere(case: Case) -> None:
    start = case.potential.start(torch.Generator().manual_seed(4))
    heads = case.potential.heads()
    assert torch.equal(start[~heads], case.potential.prior_mean()[~heads])
    assert not case.potential.prior_mean()[heads].any()
    output = case.evaluate(start[None], case.structures)
    close(output.force_std, torch.full_like(output.force_std, FORCE_STD_START), 1e-12)


def test_heads_know_atoms_apart_and_leave_the_energy_alone(case: Case) -> None:
    """Features that are the same for all atoms would make a head of no use."""
    heads = case.potential.heads()
    start = case.potential.start(torch.Generator().manual_seed(4))
    drawn = torch.randn(start.shape, generator=torch.Generator().manual_seed(5), dtype=start.dtype)
    bent = torch.where(heads, start + 0.3 * drawn, start)
    for structure in case.structures:
        one, other = (case.evaluate(rows[None], [structure]) for rows in (start, bent))
        assert torch.equal(other.energy, one.energy)
        assert torch.equal(other.forces, one.forces)
        found = other.force_std[0, 0]
        assert torch.isfinite(found).all()
        assert (found > 0).all()
        assert len(set(structure.numbers)) == 1 or found.log().max() - found.log().min() > 1e-4


def test_the_scale_of_the_force_noise_is_one_parameter(case: Case) -> None:
    scale = case.potential.force_scale()
    assert scale.sum() == 1
    rows = case.members(1)
    one = case.evaluate(rows, case.structures).force_std
    two = case.evaluate(rows + math.log(2.0) * scale.double(), case.structures).force_std
    close(two, 2.0 * one, 1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if "mace" not in name.values])
def test_single_precision_is_the_same_to_its_rounding(name: str) -> None:
    """The tiny MACE is made in float64 alone."""
    case, single = POTENTIALS[name](), load_potential(PotentialSpec(name))
    mean = single.prior_mean()
    assert mean.dtype == torch.float32
    for structure in case.structures:
        found = single.evaluate(
            mean[None], single.collate([structure]), stress=False, create_graph=False
        )
        expected = case.evaluate(case.potential.prior_mean()[None], [structure])
        close(found.energy.double(), expected.energy, 1e-5)
        close(found.forces.double(), expected.forces, 1e-4, least=0.1)


def test_references_of_elements_are_added_in_double_precision(case: Case) -> None:
    batch = case.potential.collate(case.structures)
    assert batch.atomic_energy.dtype == torch.float64
    expected = [sum(map(case.potential.atomic_energy, each.numbers)) for each in case.structures]
    assert batch.atomic_energy.tolist() == pytest.approx(expected, rel=1e-15)


def test_an_element_it_lacks_is_named(case: Case) -> None:
    polonium = Structure(np.array([84, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.7]]))
    with pytest.raises(StructureError, match="84"):
        case.potential.collate([polonium])


def test_some_evaluations_fit_side_by_side(case: Case) -> None:
    assert case.potential.at_once(case.potential.collate(case.structures)) >= 1
