"""A tiny random MACE and made-up labels of molecules and of a crystal."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / "potentials"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def tiny_double(tmp_path_factory: pytest.TempPathFactory):
    """Vector features, float64, for derivatives."""
    from tiny_mace import Tiny

    return Tiny("4x0e+4x1o", tmp_path_factory.mktemp("double"))


@pytest.fixture(scope="session")
def tiny_single(tmp_path_factory: pytest.TempPathFactory):
    """Scalar features, float32, for chains."""
    import torch
    from tiny_mace import Tiny

    return Tiny("8x0e", tmp_path_factory.mktemp("single"), torch.float32)


@pytest.fixture
def labels(tiny_double):
    from made_up_posterior import ragged_labels

    return ragged_labels(tiny_double)


@pytest.fixture
def posterior(tiny_double, labels):
    from made_up_posterior import posterior_of

    return posterior_of(tiny_double, labels)


@pytest.fixture
def theta(tiny_double, posterior):
    """(k, n_active), away from the prior mean."""
    from made_up_posterior import CHAINS

    return tiny_double.members(CHAINS)[:, posterior.active]
