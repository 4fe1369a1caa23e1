"""Tiny random MACE models, built once and read back from bnnflow's files."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_mace import Tiny


@pytest.fixture(scope="session")
def vector_mace(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Scalar and vector features, float64."""
    return Tiny("8x0e+8x1o", tmp_path_factory.mktemp("vector"))


@pytest.fixture(scope="session")
def scalar_mace(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Scalar features alone, as the shipped model has them, float64."""
    return Tiny("8x0e", tmp_path_factory.mktemp("scalar"))


@pytest.fixture(scope="session", params=["vector_mace", "scalar_mace"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.getfixturevalue(request.param)
