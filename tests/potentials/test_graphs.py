"""Padded graphs: all pairs in reach, once each way, over all periodic images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tiny_mace import CUTOFF, Tiny, crystal, molecules

from bnnflow.errors import StructureError
from bnnflow.potentials.neighbours import neighbours
from bnnflow.records import Structure


def all_pairs(structure: Structure, reach: int) -> set[tuple[int, int, tuple[float, ...]]]:
    """Sender, receiver and vector of every pair nearer than the cutoff, by brute force."""
    axes = [range(-reach, reach + 1) if periodic else (0,) for periodic in structure.pbc]
    found = set()
    for image, i, j in itertools.product(
        itertools.product(*axes), range(len(structure)), range(len(structure))
    ):
        vector = structure.positions[j] - structure.positions[i] + image @ structure.cell
        if 1e-9 < np.linalg.norm(vector) < CUTOFF:
            found.add((i, j, tuple(np.round(vector, 8) + 0.0)))
    return found


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
def test_neighbours_are_all_pairs_in_reach(pbc: tuple[bool, ...]) -> None:
    base = crystal()
    cell = base.cell if any(pbc) else np.zeros((3, 3))
    structure = Structure(base.numbers, base.positions, cell, np.array(pbc))
    listed = neighbours(structure, CUTOFF)
    edges, shifts = listed.edges, listed.shifts
    vectors = structure.positions[edges[1]] - structure.positions[edges[0]] + shifts
    found = [(i, j, tuple(np.round(v, 8) + 0.0)) for i, j, v in zip(*edges, vectors, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == all_pairs(structure, reach=3)


def test_frames_of_one_size_are_not_padded(tiny: Tiny) -> None:
    batch = tiny.batch([molecules()[0]] * 2)
    assert batch.positions.shape == (2, 3, 3)
    assert batch.mask.all()
    assert batch.edges.shape == (2, 2, 6)


def test_padding_is_marked_and_out_of_reach(tiny: Tiny) -> None:
    structures = [*molecules(), crystal()]
    batch = tiny.batch(structures)
    assert batch.mask.sum(1).tolist() == [len(structure) for structure in structures]
    assert torch.equal(batch.species.sum(-1), batch.mask)
    for frame, structure in enumerate(structures):
        n_real = neighbours(structure, CUTOFF).edges.shape[1]
        sender, receiver = batch.edges[frame]
        vectors = batch.positions[frame][receiver] - batch.positions[frame][sender]
        reached = (vectors + batch.shifts[frame]).norm(dim=-1) < CUTOFF
        assert reached.sum().item() == n_real
        assert torch.equal(sender[~reached], receiver[~reached])
        assert batch.mask[frame][receiver[reached]].all()


def test_every_atom_has_its_neighbours_in_one_row(tiny: Tiny) -> None:
    batch = tiny.batch([*molecules(), crystal()])
    n_atoms = batch.positions.shape[1]
    for _, receiver in batch.edges:
        rows = receiver.reshape(n_atoms, -1)
        assert torch.equal(rows, torch.arange(n_atoms)[:, None].expand_as(rows))


def test_volume_and_atomic_energies(tiny: Tiny) -> None:
    batch = tiny.batch([molecules()[0], crystal()])
    assert batch.volume[0].item() == 1.0
    assert batch.volume[1].item() == pytest.approx(crystal().to_atoms().get_volume())
    assert batch.atomic_energy.dtype == torch.float64
    assert batch.atomic_energy[0].item() == -2041.5 - 2 * 13.5


def test_an_element_the_model_lacks_is_named(tiny: Tiny) -> None:
    silane = Structure(np.array([14, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]]))
    with pytest.raises(StructureError, match=r"\[14\].*\[1, 6, 7, 8\]"):
        tiny.batch([molecules()[0], silane])
