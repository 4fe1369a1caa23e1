"""The same job through the pools of a scheduler as on this machine alone: the same run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import jobs, site_values
from ethanol_job import config
from tiny_runs import assert_labels_whole, assert_same_run

from bnnflow.data import read_run
from workflows.session import fine_tune

LOCAL = {"pools": {name: {"workers_per_node": 1} for name in ("dft", "md")}}


@pytest.mark.usefixtures("empty_queue")
@pytest.mark.timeout(1800)
def test_decisions_and_results_are_those_of_the_local_site(tmp_path: Path) -> None:
    """Two gpu workers on either site, so that the chains are dealt alike; then equal to the bit."""
    local, slurm = tmp_path / "local", tmp_path / "slurm"
    sites = {
        local: {"name": "two", "pools": {**LOCAL["pools"], "gpu": {"workers_per_node": 2}}},
        slurm: site_values(),
    }
    for folder, site in sites.items():
        file = tmp_path / f"{folder.name}.yaml"
        file.write_text(yaml.safe_dump(site))
        (summary,) = fine_tune([config(str(file))], folders=[folder])
        assert summary.finished
    assert jobs() == {}
    assert_same_run(slurm, local)
    assert_labels_whole(slurm)
    run = read_run(slurm)
    assert len(run.labels.name) >= 2
    assert run.trajectory.steps[-1] == 13
