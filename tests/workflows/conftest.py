"""A tiny random MACE for the runs of these tests, and import paths of shared test helpers."""

import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "data"), str(HERE.parent / "potentials")]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a random MACE with eight scalar channels, float32."""
    from tiny_mace import build

    from bnnflow.potentials.mace_files import save_mace

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_mace(build("8x0e", dtype=torch.float32), path)
    return path


@pytest.fixture(scope="session")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody interrupted; not to be changed."""
    from tiny_runs import settings

    from workflows.session import fine_tune

    folder = tmp_path_factory.mktemp("finished") / "run"
    fine_tune([settings(model)], folders=[folder], inline=True)
    return folder
