"""Runs of crystals from CHGNet: aluminium against ASE's EMT, and what does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from every_potential import NEEDS_CHGNET
from tiny_runs import assert_same_run

from bnnflow.config import check_run, parse_config
from bnnflow.config.defaults import FAMILY_DEFAULTS
from bnnflow.config.run import RunConfig
from bnnflow.data import read_run
from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import Phase
from workflows.session import fine_tune, resume

pytestmark = NEEDS_CHGNET

RTO: dict[str, Any] = {
    "schedule": "rto",
    "chains": 2,
    "trajectories": 1,
    "leapfrog_steps": 2,
    "max_jacobians": 2,
    "max_steps": 2,
}
PUBLISHED: dict[str, Any] = {"schedule": "published", "chains": 2, "steps": 6}
WIDTHS: dict[str, Any] = {"prior_std": 0.03, "head_prior_std": 0.3}


def crystal(folder: Path, repeat: tuple[int, int, int]) -> Path:
    """Aluminium on its sites."""
    path = folder / "aluminium.extxyz"
    write(path, bulk("Al", a=4.05).repeat(repeat))
    return path


def settings(
    structure: Path, sampler: dict[str, Any] = RTO, **changes: dict[str, Any]
) -> RunConfig:
    """Two steps of two atoms, with an error bound that is soon not met."""
    values: dict[str, dict[str, Any]] = {
        "material": {"structure": str(structure)},
        "potential": {"model": "chgnet", **WIDTHS},
        "threshold": {"energy_kcal_per_mol": 0.3},
        "calibration": {"shape": 500, "scale": 500},
        "dynamics": {
            "kind": "langevin",
            "temperature_K": 600,
            "timestep_fs": 5.0,
            "friction_per_fs": 0.01,
            "length_ps": 0.01,
            "checkpoint_every_steps": 1,
        },
        "sampler": sampler,
        "reference": {
            "engine": "ase",
            "options": {"calculator": "ase.calculators.emt.EMT", "isolated": False},
        },
        "run": {"seed": 3},
    }
    for section, keys in changes.items():
        values[section] = {**values[section], **keys}
    return parse_config(values)


@pytest.fixture(scope="module")
def rto_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chgnet")
    fine_tune([settings(crystal(folder, (2, 1, 1)))], folders=[folder / "run"], inline=True)
    return folder / "run"


def test_a_crystal_is_fine_tuned_from_chgnet(rto_run: Path) -> None:
    run = read_run(rto_run)
    assert run.state.phase is Phase.DONE
    assert len(run.labels.name) >= 2
    assert np.isfinite(run.updates.energy_rmse).all()
    assert "family: chgnet" in (rto_run / "config.yaml").read_text()


def test_it_is_resumed_bit_for_bit(rto_run: Path, tmp_path: Path) -> None:
    """From its last commit but a few, in what is left of the folder."""
    shutil.copytree(rto_run, tmp_path / "run")
    commits = sorted((tmp_path / "run" / "commits").iterdir())
    for path in commits[-3:]:
        path.unlink()
    (tmp_path / "run" / "run.h5").unlink()
    resume([tmp_path / "run"], inline=True)
    assert_same_run(tmp_path / "run", rto_run)


@pytest.mark.slow
def test_the_published_schedule_goes_through(tmp_path: Path) -> None:
    """From atoms off their sites."""
    sites = crystal(tmp_path, (2, 1, 1))
    start = {"structure": str(sites), "displacement_A": 0.05}
    config = settings(sites, PUBLISHED, material=start)
    fine_tune([config], folders=[tmp_path / "run"], inline=True)
    run = read_run(tmp_path / "run")
    assert run.state.phase is Phase.DONE
    moves = run.labels.positions[0] - config.material.load().positions
    assert 0.02 < np.sqrt(np.mean(moves**2)) < 0.1


def test_a_large_cell_is_refused_before_it_starts(tmp_path: Path) -> None:
    config = settings(crystal(tmp_path, (5, 4, 6)))
    with pytest.raises(ConfigError, match=r"holds \d+ labels of these 120 atoms .* to published"):
        check_run(config)


def test_family_and_model_must_agree(tmp_path: Path) -> None:
    config = settings(crystal(tmp_path, (2, 1, 1)), potential={"family": "mace"})
    with pytest.raises(ConfigError, match="model is chgnet, expected chgnet: remove potential"):
        check_run(config)


def test_defaults_are_those_of_the_family(tmp_path: Path) -> None:
    nothing_named = {"shape": None, "scale": None}
    config = settings(
        crystal(tmp_path, (2, 1, 1)),
        PUBLISHED,
        potential={"prior_std": None},
        calibration=nothing_named,
    )
    assert config.potential.family == "chgnet"
    assert (config.calibration.shape, config.calibration.scale) == (1.5, 10.0)
    assert config.potential.prior_std == FAMILY_DEFAULTS["chgnet"]["potential"]["prior_std"]


def test_an_element_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "polonium.extxyz"
    write(path, bulk("Po", "sc", a=3.34))
    with pytest.raises(StructureError, match="lacks Po"):
        check_run(settings(path))
