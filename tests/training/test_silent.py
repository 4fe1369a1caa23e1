"""Directions without a force, counted by the Jacobian and by group theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule
from made_up_posterior import label_of
from tiny_mace import Tiny, crystal, rattled

from bnnflow.bayes import GaussianPrior, draw_log_scale, gram
from bnnflow.records import Label, Structure
from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.training.whitened import WhitenedPosterior


def whitened(tiny: Tiny, labels: list[Label]) -> WhitenedPosterior:
    elements = tuple(sorted({int(z) for label in labels for z in label.structure.numbers}))
    mean, active = tiny.potential.prior_mean(), tiny.potential.active(elements)
    data = LabelledSet.of(tiny.potential, labels, energy_shift=0.0)
    prior = GaussianPrior.of(mean[active], 0.1)
    return WhitenedPosterior(Posterior(tiny.potential, data, mean, active, prior, 0.02))


def inner(whole: WhitenedPosterior) -> torch.Tensor:
    """J Jᵀ at a draw of the prior."""
    shape = (1, len(whole.posterior.prior.mean))
    phi = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return gram(whole.residuals(whole.force_std(phi)).jacobian(phi))[0]


def silent(tiny: Tiny, *structures: Structure) -> int:
    whole = whitened(tiny, [label_of(each, 0.0, 0) for each in structures])
    return whole.silent_forces(inner(whole))


BUILT = {
    "H2O": 9 - 2,  # C2v: two totally symmetric vibrations
    "CH4": 15 - 1,  # Td
    "C2H4": 18 - 3,  # D2h
    "CH3CN": 18 - 4,  # C3v
    "HCN": 9 - 2,  # linear: both stretches
}
"""3 n less the totally symmetric vibrations."""


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("kind", ["tiny_single", "tiny_double"])
def test_symmetric_molecules_have_few_forces_that_differ(
    request: pytest.FixtureRequest, name: str, kind: str
) -> None:
    structure = Structure.from_atoms(molecule(name))
    assert silent(request.getfixturevalue(kind), structure) == BUILT[name]


def test_others_lose_rigid_motions_alone(tiny_double: Tiny) -> None:
    water, pair = (rattled(molecule(name)) for name in ("H2O", "CO"))
    assert silent(tiny_double, water) == 6 and silent(tiny_double, pair) == 5
    assert silent(tiny_double, water, pair, crystal()) == 6 + 5 + 3


def test_images_that_are_seen_hold_a_molecule(tiny_double: Tiny) -> None:
    """A box wider than the cutoff leaves it free to turn."""
    water = rattled(molecule("H2O"))
    for width, expected in ((3.5, 3), (40.0, 6)):
        boxed = replace(water, cell=width * np.eye(3), pbc=np.ones(3, dtype=bool))
        assert silent(tiny_double, boxed) == expected


def test_symmetry_says_nothing_of_the_noise(tiny_double: Tiny) -> None:
    """Ethylene as built, its three forces that can differ off by 2, 2 and 2 in sum of squares 12,
    with weights that are held: the noise is 2, not the 2 sqrt(3/18) of eighteen forces."""
    label = label_of(Structure.from_atoms(molecule("C2H4")), 0.0, 0)
    whole = whitened(tiny_double, [label])
    rows = torch.zeros(len(whole.force_rows), dtype=torch.float64)
    rows[1:4] = 2.0
    drawn = [
        draw_log_scale(
            torch.zeros(len(rows), len(rows), dtype=torch.float64),
            rows,
            whole.force_rows,
            present=0.0,
            prior_mean=0.0,
            prior_std=5.0,
            quantile=0.5,
            silent=count,
        )
        for count in (whole.silent_forces(inner(whole)), 0)
    ]
    assert drawn[0] == pytest.approx(np.log(2.0), abs=0.3)
    assert drawn[1] == pytest.approx(np.log(2.0) - 0.5 * np.log(6.0), abs=0.1)
