"""Derivatives by the parameters, as training needs them: equal to those of mace-torch's blocks."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from tiny_mace import Tiny, build, crystal, molecules

from bnnflow.potentials import mace_messages
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.mace import MacePotential
from bnnflow.potentials.mace_files import load_mace, save_mace


def slopes(potential: MacePotential, parameters: torch.Tensor, batch: GraphBatch) -> torch.Tensor:
    """(k, P) gradient of a loss on energy, forces, stress and stds."""
    leaf = parameters.clone().requires_grad_(True)
    out = potential.evaluate(leaf, batch, stress=True, create_graph=True)
    assert out.stress is not None
    weight = torch.linspace(0.5, 1.5, out.forces.shape[-2], dtype=out.forces.dtype)
    forces = (out.forces.square().sum(-1) * weight).sum()
    stds = (out.force_std * batch.mask).square().sum()
    loss = out.energy.square().sum() + forces + 1e2 * out.stress.square().sum() + stds
    return torch.autograd.grad(loss, leaf)[0]


def as_blocks(potential: MacePotential) -> MacePotential:
    """The same potential by mace-torch's own blocks."""
    other = MacePotential(potential._blocks.model)
    other._members = None
    return other


@pytest.mark.parametrize("cached", [1, mace_messages.CACHED])
def test_gradients_are_those_of_mace_torchs_blocks(tiny: Tiny, cached: int) -> None:
    assert tiny.potential._members is not None
    parameters = tiny.members(2)
    frames = tiny.batch([*molecules(), crystal()])
    batch = frames.take(torch.tensor([[3, 0], [1, 2]]))
    with patch.object(mace_messages, "CACHED", cached):
        mine = slopes(tiny.potential, parameters, batch)
    expected = slopes(as_blocks(tiny.potential), parameters, batch)
    scale = expected.abs().max()
    torch.testing.assert_close(mine / scale, expected / scale, rtol=1e-9, atol=1e-11)


def test_order_three_and_a_first_layer_with_skip(tmp_path) -> None:
    """What MACE-MP-0 has: correlation 3, residual blocks throughout."""
    import mace.modules.blocks as blocks

    residual = blocks.RealAgnosticResidualInteractionBlock
    with patch.object(blocks, "RealAgnosticInteractionBlock", residual):
        stock = build("4x0e+4x1o", dtype=torch.float64, correlation=3)
    save_mace(stock, tmp_path / "model.safetensors")
    potential = MacePotential(load_mace(tmp_path / "model.safetensors"))
    assert potential._members is not None
    tiny = Tiny.__new__(Tiny)
    tiny.potential = potential
    batch, parameters = tiny.batch([crystal()]), tiny.members(2)
    mine, expected = (slopes(one, parameters, batch) for one in (potential, as_blocks(potential)))
    scale = expected.abs().max()
    torch.testing.assert_close(mine / scale, expected / scale, rtol=1e-9, atol=1e-11)


def test_other_kinds_of_model_go_through_mace_torchs_blocks(tmp_path) -> None:
    stock = build("8x0e", dtype=torch.float64, pair_repulsion=True)
    save_mace(stock, tmp_path / "model.safetensors")
    assert MacePotential(load_mace(tmp_path / "model.safetensors"))._members is None


def test_changed_parameters_are_seen(tiny: Tiny) -> None:
    """Weights are kept between calls, but not past a change of the tensor in place."""
    parameters, batch = tiny.members(2), tiny.batch([molecules()[0]])
    before = tiny.potential.evaluate(parameters, batch).energy
    again = tiny.potential.evaluate(parameters, batch).energy
    assert torch.equal(before, again)
    parameters.add_(0.05)
    after = tiny.potential.evaluate(parameters, batch).energy
    assert torch.equal(after, tiny.potential.evaluate(parameters.clone(), batch).energy)
    assert not torch.allclose(before, after)
