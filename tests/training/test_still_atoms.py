"""Forces that symmetry forbids are no data: atoms of a perfect crystal, and of one that is not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk
from made_up_posterior import posterior_of
from tiny_mace import Tiny

from bnnflow.bayes import draw_log_scale, gram
from bnnflow.records import Label, Structure
from bnnflow.training.posterior import LabelledSet
from bnnflow.training.still_atoms import without_still_atoms
from bnnflow.training.whitened import WhitenedPosterior


def label_of(structure: Structure, forces: np.ndarray | None = None) -> Label:
    zero = np.zeros_like(structure.positions)
    return Label(structure, 0.0, zero if forces is None else forces, None, "made up", "", 0.0, "")


@pytest.fixture
def perfect() -> Structure:
    """Eight carbon atoms on diamond's sites."""
    return Structure.from_atoms(bulk("C", "diamond", a=3.57, cubic=True))


@pytest.fixture
def moved(perfect: Structure) -> Structure:
    """The same crystal with one atom off its site."""
    positions = perfect.positions.copy()
    positions[0] += [0.1, 0.05, 0.0]
    return replace(perfect, positions=positions)


def kept(tiny: Tiny, *labels: Label) -> LabelledSet:
    return without_still_atoms(
        LabelledSet.of(tiny.potential, labels, energy_shift=0.0), tiny.potential
    )


def test_all_atoms_of_a_perfect_crystal_are_left_out(tiny_double: Tiny, perfect, moved) -> None:
    data = kept(tiny_double, label_of(perfect), label_of(moved, np.full((8, 3), 0.2)))
    assert data.force_mask.sum(-1).tolist() == [0, 8]
    assert data.graphs.mask.sum(-1).tolist() == [8, 8]


def test_a_relaxed_structure_says_where_the_minimum_is(tiny_double: Tiny, moved) -> None:
    """The label's forces are zero, but the model's are not."""
    assert kept(tiny_double, label_of(moved)).force_mask.sum() == 8


def test_forces_of_the_label_alone_are_kept(tiny_double: Tiny, perfect) -> None:
    """A reference that breaks the symmetry has something to say."""
    assert kept(tiny_double, label_of(perfect, np.full((8, 3), 0.2))).force_mask.sum() == 8


def test_a_perfect_crystal_leaves_the_force_noise_at_its_prior(tiny_double: Tiny, perfect) -> None:
    """Its median; as data, its forces would pull it to the end of the grid."""
    whole = posterior_of(tiny_double, [label_of(perfect)])
    found = {
        name: median_scale(WhitenedPosterior(replace(whole, data=data)))
        for name, data in (
            ("taken", whole.data),
            ("left out", without_still_atoms(whole.data, tiny_double.potential)),
        )
    }
    assert found["left out"] == pytest.approx(0.0, abs=1e-6)
    assert found["taken"] < -2.0


def median_scale(whole: WhitenedPosterior) -> float:
    """Change of log sigma, whose prior is as wide as a factor of three."""
    phi = torch.zeros(1, len(whole.posterior.prior.mean), dtype=torch.float64)
    problem = whole.residuals(whole.force_std(phi))
    inner = gram(problem.jacobian(phi))[0]
    return draw_log_scale(
        inner,
        problem.residual(phi)[0],
        whole.force_rows,
        present=0.0,
        prior_mean=0.0,
        prior_std=math.log(3.0),
        quantile=0.5,
        silent=whole.silent_forces(inner),
    )


def test_its_density_is_of_energies_and_stresses_alone(tiny_double: Tiny, perfect) -> None:
    whole = posterior_of(tiny_double, [label_of(perfect)])
    whole = WhitenedPosterior(
        replace(whole, data=without_still_atoms(whole.data, tiny_double.potential))
    )
    phi = torch.zeros(1, len(whole.posterior.prior.mean), dtype=torch.float64)
    louder = phi + whole.force_scale.double()
    torch.testing.assert_close(whole.density(louder)[0], whole.density(phi)[0] + 0.5)
    assert torch.isfinite(whole.noise_rows(phi)).all()
