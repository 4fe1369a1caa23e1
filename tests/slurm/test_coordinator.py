"""A run whose coordinator is itself a job: warned before its walltime, it drains and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import HERE, jobs, site_values
from ethanol_job import config
from slurm_nodes import wait_until
from tiny_runs import assert_labels_whole, attempts

from bnnflow.data import read_run
from bnnflow.records import Phase
from executors.provenance import check_one_place

WALLTIME = "00:04:00"
"""Slurm counts in minutes; of four the coordinator has three, and it is warned in the third."""
STEPS = 2
REFERENCE = {
    "engine": "ase",
    "options": {
        "calculator": "slow_labels.SlowTBLite",
        "arguments": {"method": "GFN2-xTB", "verbosity": 0},
        "level": "GFN2-xTB",
    },
}


@pytest.mark.usefixtures("empty_queue")
@pytest.mark.timeout(1800)
def test_jobs_of_the_coordinator_follow_one_another_to_the_end_of_the_run(tmp_path: Path) -> None:
    """Three labels of forty seconds and more do not fit into one job; none is made twice."""
    site, run = tmp_path / "site.yaml", tmp_path / "run"
    keys = {"partition": "md", "cores": 1}
    site.write_text(yaml.safe_dump(site_values() | {"coordinator": keys}))
    _write_config(tmp_path / "run.yaml", site)
    said = _bnnflow(tmp_path, "submit", "run.yaml", "--folder", run, "--walltime", WALLTIME)
    assert "Submitted batch job" in said
    wait_until(lambda: jobs() == {}, 1500.0)

    logs = [path.read_text() for path in sorted((run / "coordinator").glob("*.log"), key=_number)]
    print("\n".join(logs))
    assert len(logs) >= 2
    assert all("Submitted batch job" in log and "time is up" in log for log in logs[:-1])
    assert "Submitted batch job" not in logs[-1]
    assert any("warned by SIGUSR1" in log for log in logs)
    found = read_run(run)
    assert found.state.phase is Phase.DONE and found.trajectory.steps[-1] == STEPS
    assert attempts(run) == [f"labels/{name}/attempt-01" for name in found.labels.name]
    assert len(found.labels.name) == STEPS + 1 and len(found.failures.task) == 0
    assert_labels_whole(run)
    assert (run / "report.html").exists()


def _number(log: Path) -> int:
    return int(log.stem)


def _write_config(file: Path, site: Path) -> None:
    """A few steps, each of which asks: nothing is ever known to 0.01 kcal/mol."""
    job = config(str(site), **REFERENCE)
    values = yaml.safe_load(job.to_yaml())
    values["dynamics"]["length_ps"] = 0.0005 * STEPS
    values["threshold"]["energy_kcal_per_mol"] = 0.01
    file.write_text(yaml.safe_dump(values))


def _bnnflow(folder: Path, *words: object) -> str:
    """What a command says, run as a user would from a folder."""
    paths = os.pathsep.join([str(check_one_place()), str(HERE)])
    done = subprocess.run(
        [sys.executable, "-m", "workflows.cli", *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
