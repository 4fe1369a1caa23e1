"""PBS Pro, LSF and Flux, which cannot be had here: their commands by a stand-in, all else real."""

import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnnflow.errors import BlockLostError
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.site import parse_site

COMMANDS = ("qsub", "qstat", "qdel", "bsub", "bjobs", "bkill", "flux")
ANSWER_S = 90


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """The folder in which the stand-in keeps its jobs, one per scheduler and process."""
    programs = tmp_path / "bin"
    folder = tmp_path / "jobs"
    for path in (programs, folder):
        path.mkdir()
    start = f"#!{sys.executable}\n"
    source = Path(__file__).with_name("stand_in_scheduler.py").read_text()
    for name in COMMANDS:
        (programs / name).write_text(start + source)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_JOBS", str(folder))
    return folder


def pool(kind):
    return {
        "workers_per_node": 1,
        "provider": {"kind": kind, "cores_per_node": 1, "account": "m1", "poll_s": 1},
    }


def alive(folder):
    return [path.name for path in folder.glob("[0-9]*") if running(path.read_text())]


def running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.slow
def test_pools_on_three_schedulers_at_once(jobs, tmp_path):
    """A task in each, one job lost and replaced, and none left at the end."""
    site = {
        "name": "three",
        "address": "127.0.0.1",
        "heartbeat_period_s": 1,
        "heartbeat_threshold_s": 3,
        "pools": {"gpu": pool("pbspro"), "dft": pool("lsf"), "md": pool("flux")},
    }
    with ParslExecutor(parse_site(site), tmp_path / "run") as executor:
        asked = [executor.submit(each, operator.neg, 1) for each in Pool]
        assert [future.result(ANSWER_S) for future in asked] == [-1, -1, -1]
        assert len(alive(jobs)) == 3
        lines = (jobs / "lines").read_text()
        assert "qsub /" in lines and "flux batch" in lines
        assert "#PBS -A m1" in _script(tmp_path, "gpu")
        lost = executor.submit(Pool.DFT, time.sleep, 600)
        subprocess.run(["bkill", _job_of(jobs, "bsub")], check=True)
        with pytest.raises(BlockLostError, match="pool dft lost its workers"):
            lost.result(ANSWER_S)
        assert executor.submit(Pool.DFT, operator.neg, 1).result(ANSWER_S) == -1
        assert len(alive(jobs)) == 3
    assert alive(jobs) == []


def _script(folder, pool):
    """The batch script of a pool's first block."""
    (script,) = (folder / "run").rglob(f"bnnflow.{pool}.block-0.*[0-9]")
    return script.read_text()


def _job_of(folder, command):
    """The job that a command submitted first."""
    lines = (folder / "lines").read_text().splitlines()
    return str(1 + [line.split()[0] for line in lines].index(command))
