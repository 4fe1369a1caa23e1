"""A tiny random MACE and made-up labels of molecules and of a crystal."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "potentials"))


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
