"""Parameters of absent elements: found by name, and exactly without effect (DECISIONS 6)."""

from __future__ import annotations

import pytest
import torch
from tiny_mace import ELEMENTS, Tiny, crystal, molecules

from bnnflow.potentials.mace import MacePotential
from bnnflow.records import Structure

PRESENT = (1, 6, 8)  # of H, C, N, O
BY_ELEMENT = ("node_embedding", "symmetric_contractions", "skip_tp")


def loss_slope(tiny: Tiny, structures: list[Structure]) -> torch.Tensor:
    """(k, P) gradient of a loss on everything predicted."""
    parameters = tiny.members(2).requires_grad_(True)
    batch = tiny.batch(structures)
    output = tiny.potential.evaluate(parameters, batch, create_graph=True)
    std = output.force_std * batch.mask
    loss = output.energy.square().sum() + output.forces.square().sum() + std.square().sum()
    return torch.autograd.grad(loss, parameters)[0]


def test_gradient_is_exactly_zero_where_masked_and_only_there(tiny: Tiny) -> None:
    slope, active = loss_slope(tiny, molecules()), tiny.potential.active(PRESENT)
    assert not slope[:, ~active].any()
    blocks = tiny.potential.layout.unflatten((slope != 0) & active)
    assert not [name for name, block in blocks.items() if not block.any()]


def test_active_entries_of_each_block_are_moved_by_each_element(scalar_mace: Tiny) -> None:
    """Nearly all active entries have a gradient; path weights of zero coupling may not."""
    slope, active = loss_slope(scalar_mace, molecules()), scalar_mace.potential.active(PRESENT)
    assert (slope[:, active] != 0).double().mean() > 0.9


def test_changing_masked_entries_changes_no_prediction(tiny: Tiny) -> None:
    parameters, active = tiny.members(2), tiny.potential.active(PRESENT)
    changed = torch.where(active, parameters, torch.randn_like(parameters))
    assert not torch.equal(changed, parameters)
    batch = tiny.batch(molecules())
    before, after = (tiny.potential.evaluate(one, batch) for one in (parameters, changed))
    for name in ("energy", "forces", "force_std"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    nitrogen = tiny.batch([crystal()])
    unlike = [tiny.potential.evaluate(one, nitrogen).energy for one in (parameters, changed)]
    assert not torch.allclose(*unlike)


@pytest.mark.parametrize("present", [PRESENT, (6, 14), (8,), ELEMENTS])
def test_masked_share_is_the_share_of_absent_elements(tiny: Tiny, present: tuple[int, ...]) -> None:
    share = 1 - len(set(present) & set(ELEMENTS)) / len(ELEMENTS)
    for name, mask in tiny.potential.layout.unflatten(tiny.potential.active(present)).items():
        expected = share if any(word in name for word in BY_ELEMENT) else 0.0
        assert (~mask).double().mean().item() == expected, name


def test_number_masked_is_what_the_shapes_say(scalar_mace: Tiny) -> None:
    """8 scalars, 4 elements, l up to 2: counted by hand for one absent element."""
    named = scalar_mace.potential.layout.unflatten(~scalar_mace.potential.active(PRESENT))
    masked = {name: int(mask.sum()) for name, mask in named.items() if mask.any()}
    assert masked.pop("model.node_embedding.linear.weight") == 8
    # First layer: the messages (l = 0, 1, 2), each 8 channels to 8; second: the features.
    assert masked.pop("model.interactions.0.skip_tp.weight") == 3 * 8 * 8
    assert masked.pop("model.interactions.1.skip_tp.weight") == 8 * 8
    # Couplings of l = 0, 1, 2 to a scalar: three of order 2 (one per l), one of order 1.
    for layer in (0, 1):
        name = f"model.products.{layer}.symmetric_contractions.contractions.0"
        assert masked.pop(f"{name}.weights_max") == 3 * 8
        assert masked.pop(f"{name}.weights.0") == 1 * 8
    assert masked == {}


def test_elements_and_energies_are_those_of_the_model(vector_mace: Tiny) -> None:
    potential: MacePotential = vector_mace.potential
    assert potential.elements == ELEMENTS
    assert potential.atomic_energy(7) == -1484.75
    assert potential.cutoff == 4.0
