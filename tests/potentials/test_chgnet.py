"""CHGNet's own package gives the same energies, forces, stresses, features and graphs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import chgnet_oracle
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from every_potential import NEEDS_CHGNET, magnesia, perovskite
from tiny_mace import Tiny, crystal, rattled

from bnnflow.errors import ModelError
from bnnflow.potentials import load_potential
from bnnflow.potentials.chgnet import ChgnetPotential
from bnnflow.potentials.chgnet_files import load_chgnet, shipped_file
from bnnflow.records import PotentialSpec, Structure

pytestmark = NEEDS_CHGNET


def silicon() -> Structure:
    return rattled(bulk("Si", cubic=True), seed=1, scale=0.05)


def ethanol() -> Structure:
    """In a box that CHGNet needs and this does not."""
    atoms = molecule("CH3CH2OH", cell=[20.0, 20.0, 20.0], pbc=True)
    atoms.center()
    return rattled(atoms, seed=2, scale=0.05)


CASES = {
    "Si8": silicon,
    "MgO, straight angles": magnesia,
    "CaTiO3": perovskite,
    "CHON, all neighbours images": crystal,
    "Na, one bond at most": lambda: Structure.from_atoms(bulk("Na")),
    "ethanol in a box": ethanol,
}


@pytest.fixture(scope="module")
def single() -> ChgnetPotential:
    return load_potential(PotentialSpec("chgnet"))


@pytest.mark.parametrize("case", CASES)
def test_single_precision_is_chgnets_to_rounding(single: ChgnetPotential, case: str) -> None:
    """Angles of 180 degrees: the arc cosine there makes 1e-5 eV of float32's rounding."""
    structure = CASES[case]()
    expected = chgnet_oracle.answer(chgnet_oracle.stock(), structure)
    batch = single.collate([structure])
    output = single.evaluate(single.prior_mean()[None], batch, stress=True)
    total = output.energy[0, 0].double() + batch.atomic_energy[0]
    assert total.item() / len(structure) == pytest.approx(
        expected["energy"] / len(structure), abs=2e-5
    )
    np.testing.assert_allclose(output.forces[0, 0], expected["forces"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(output.stress[0, 0], expected["stress"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_double_precision_is_chgnets_with_any_weights(case: str) -> None:
    """The one difference is CHGNet's sqrt(2), which it keeps in float32."""
    model = load_chgnet(shipped_file("chgnet"))
    arrays = chgnet_oracle.scattered(model, 0.03, seed=5)
    potential = ChgnetPotential(replace(model, arrays=arrays), dtype=torch.float64)
    structure = CASES[case]()
    with chgnet_oracle.double_precision() as stock:
        stock.load_state_dict(
            {name: value for name, value in arrays.items() if "composition" not in name}
        )
        expected = chgnet_oracle.answer(stock, structure)
    output = potential.evaluate(
        potential.prior_mean()[None], potential.collate([structure]), stress=True
    )
    assert output.energy.item() == pytest.approx(expected["energy"], abs=1e-7)
    np.testing.assert_allclose(output.forces[0, 0], expected["forces"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(output.stress[0, 0], expected["stress"], rtol=0, atol=1e-8)


def test_frames_of_unequal_size_are_chgnets(single: ChgnetPotential) -> None:
    frames = [silicon(), perovskite()]
    batch = single.collate(frames)
    output = single.evaluate(single.prior_mean()[None], batch, stress=True)
    for row, structure in enumerate(frames):
        expected = chgnet_oracle.answer(chgnet_oracle.stock(), structure)
        total = output.energy[0, row].double() + batch.atomic_energy[row]
        assert total.item() == pytest.approx(expected["energy"], abs=1e-4)
        forces = output.forces[0, row, : len(structure)]
        np.testing.assert_allclose(forces, expected["forces"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(output.stress[0, row], expected["stress"], rtol=0, atol=1e-5)


def test_sampled_are_chgnets_parameters_less_those_that_do_nothing(single: ChgnetPotential) -> None:
    """Of 412,525: not 94 reference energies, 65 of magnetic moments, 33,152 of the last update of
    angles, nor the embedding of five elements that were never trained."""
    named = single.layout.unflatten(single.prior_mean())
    network = {name: value for name, value in named.items() if not name.startswith("head.")}
    stock = dict(chgnet_oracle.stock().named_parameters())
    assert sum(value.numel() for value in stock.values()) == 412_525
    assert sum(value.numel() for value in network.values()) == 412_525 - 94 - 65 - 33_152 - 5 * 64
    left_out = set(stock) - set(network)
    inert = ("composition_model.", "site_wise.", "angle_layers.2.")
    assert all(name.startswith(inert) for name in left_out)
    for name, value in network.items():
        if name != "atom_embedding.embedding.weight":
            assert torch.equal(value, stock[name].detach())


def test_features_of_the_head_are_those_the_energy_is_read_from(single: ChgnetPotential) -> None:
    """A head that is linear in one of them sums it over atoms, as CHGNet sums its features."""
    structure = silicon()
    expected = chgnet_oracle.answer(chgnet_oracle.stock(), structure)["features"]
    batch, mean = single.collate([structure]), single.prior_mean()
    channels = (0, 7, 63)
    rows = torch.stack([mean, *(_linear_head(single, channel) for channel in channels)])
    log_std = single.evaluate(rows, batch).force_std[:, 0].log()
    found = (log_std[1:] - log_std[0]).sum(-1).detach()
    np.testing.assert_allclose(found, expected[list(channels)], rtol=1e-3, atol=1e-3)


def _linear_head(potential: ChgnetPotential, channel: int) -> torch.Tensor:
    """(P,) a head whose log sigma / s0 is one feature: silu(silu(x + 20)) - 20 = x."""
    named = dict(potential.layout.unflatten(potential.prior_mean()))
    for layer, column in ((0, channel), (2, 0), (4, 0)):
        weight = torch.zeros_like(named[f"head.layers.{layer}.weight"])
        weight[0, column] = 1.0
        named[f"head.layers.{layer}.weight"] = weight
    named["head.layers.0.bias"] = torch.full_like(named["head.layers.0.bias"], 20.0)
    named["head.layers.4.bias"] = torch.full_like(named["head.layers.4.bias"], -20.0)
    return potential.layout.flatten(named)


@pytest.mark.parametrize("case", CASES)
def test_graphs_are_chgnets(single: ChgnetPotential, case: str) -> None:
    """As many edges, bonds and angles, at the same atoms, with the same ends."""
    structure = CASES[case]()
    graph, batch = chgnet_oracle.graph(structure), single.collate([structure])
    sender, receiver = batch.edges[0]
    real = batch.reverse[0] != torch.arange(len(sender))
    found = torch.stack([receiver[real], sender[real]], dim=1)
    expected = graph.atom_graph.long()
    assert sorted(found.tolist()) == sorted(expected.tolist())
    n_bonds = batch.is_bond[0].sum(1)
    angles = torch.bincount(graph.bond_graph.reshape(-1, 5)[:, 0].long(), minlength=len(structure))
    assert angles.tolist() == (n_bonds * (n_bonds - 1)).long().tolist()


def test_the_reverse_of_an_edge_is_the_same_bond_from_its_other_end(
    single: ChgnetPotential,
) -> None:
    batch = single.collate([silicon(), perovskite()])
    sender, receiver = batch.edges.unbind(1)
    positions = batch.positions
    at = lambda index: positions.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))  # noqa: E731
    vectors = at(receiver) - at(sender) + batch.shifts
    other = vectors.gather(1, batch.reverse.unsqueeze(-1).expand(-1, -1, 3))
    own = batch.reverse == torch.arange(batch.reverse.shape[1])
    assert torch.equal(other[~own], -vectors[~own])
    assert (vectors[own].norm(dim=-1) > single.cutoff).all()
    assert torch.equal(
        batch.reverse.gather(1, batch.reverse), torch.arange(own.shape[1]).expand_as(own)
    )


def test_bonds_come_first_and_lead_back(single: ChgnetPotential) -> None:
    batch = single.collate([silicon(), perovskite()])
    n_frames, n_atoms, n_bonds = batch.is_bond.shape
    n_near = batch.edges.shape[2] // n_atoms
    edge = torch.arange(n_atoms * n_near).view(n_atoms, n_near)[:, :n_bonds].reshape(-1)
    for frame in range(n_frames):
        is_bond = batch.is_bond[frame].flatten().bool()
        back = edge[batch.bond_reverse[frame]]
        assert torch.equal(back[is_bond], batch.reverse[frame][edge][is_bond])
        assert torch.equal(back[~is_bond], edge[~is_bond])


def test_atoms_without_neighbours_or_bonds_are_fine(single: ChgnetPotential) -> None:
    """CHGNet's converter refuses an atom on its own; its energy is finite all the same."""
    alone = Structure(np.array([8]), np.zeros((1, 3)))
    apart = Structure(np.array([8, 8]), np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]))
    output = single.evaluate(single.prior_mean()[None], single.collate([alone, apart]))
    assert torch.isfinite(output.energy).all()
    assert not output.forces[0, 0].any()
    assert output.forces[0, 1, 0, 0] == -output.forces[0, 1, 1, 0] != 0


def test_graphs_of_another_potential_are_refused(
    single: ChgnetPotential, scalar_mace: Tiny
) -> None:
    batch = scalar_mace.batch([Structure.from_atoms(Atoms("H2", [[0, 0, 0], [0.7, 0, 0]]))])
    with pytest.raises(ModelError, match="have no bonds"):
        single.evaluate(single.prior_mean()[None], batch)


def test_the_package_is_not_imported() -> None:
    """Its import takes seconds, prints, and looks for a GPU's library."""
    code = (
        "import sys\n"
        "from bnnflow.potentials import load_potential\n"
        "from bnnflow.records import PotentialSpec\n"
        "load_potential(PotentialSpec('chgnet'))\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('chgnet', 'pymatgen', 'nvidia_smi')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_fewer_evaluations_go_side_by_side_where_there_are_more_angles(
    single: ChgnetPotential,
) -> None:
    small, large = (single.at_once(single.collate([each])) for each in (silicon(), perovskite()))
    assert 64 >= small > large >= 1
