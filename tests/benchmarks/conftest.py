"""The benchmarks' own folder, which a benchmark finds by itself when it is run, and a tiny MACE."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "potentials"))
sys.path.insert(0, str(Path(__file__).parents[1] / "data"))


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory):
    """A tiny random MACE with scalar features, as a file."""
    from tiny_mace import Tiny

    return Tiny("4x0e", tmp_path_factory.mktemp("heldout")).path
