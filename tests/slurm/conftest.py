"""A real Slurm on this machine, for the tests marked slurm; skipped where it cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged", "mpirun", "setpriv")
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("workflows", "data"))]

from slurm_nodes import CLUSTER, QUICK, wait_until  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is marked slurm."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)


def lacking() -> str:
    """Why there can be no Slurm here; "" when there can."""
    if os.geteuid() != 0:
        return "a Slurm of its own needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(missing)} not found: run .ci/install-slurm" if missing else ""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A cluster of three nodes; SLURM_CONF is set while it is up."""
    if lacking():
        pytest.skip(lacking())
    folder = Path(tempfile.mkdtemp(prefix="bnnflow-slurm-"))
    folder.chmod(0o755)  # munge wants its socket where others could reach it
    subprocess.run([CLUSTER, "up", folder], check=True, timeout=60)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder
    subprocess.run([CLUSTER, "down", folder], check=True, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        del os.environ["SLURM_CONF"]
    else:
        os.environ["SLURM_CONF"] = before


@pytest.fixture
def empty_queue(slurm: Path) -> Iterator[None]:
    """No job before the test, and none after it."""
    assert jobs() == {}
    yield
    subprocess.run(["scancel", "--user=root"], check=True, timeout=10)
    wait_until(lambda: jobs() == {}, 30.0)


def jobs() -> dict[str, str]:
    """State of every job in the queue, by id; one that only cleans up counts as gone."""
    asked = ["squeue", "--noheader", "--format=%i %T"]
    output = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout
    found = dict(line.split() for line in output.splitlines())
    return {name: state for name, state in found.items() if state != "COMPLETING"}


def processes_in(folder: Path) -> list[int]:
    """Living processes whose working directory is a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == folder and _status(link.parent, "State")[0] != "Z":
                found.append(int(link.parent.name))
    return found


def parent(process: int) -> int:
    """The process that started another one."""
    return int(_status(Path(f"/proc/{process}"), "PPid"))


def _status(process: Path, key: str) -> str:
    lines = (process / "status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))


def site_values(**pools: dict[str, Any]) -> dict[str, Any]:
    """A site with all three pools on the cluster; keys of a pool replace those here."""
    values: dict[str, Any] = {
        "gpu": {
            "accelerators": 2,
            "provider": {**QUICK, "partition": "gpu", "cores_per_node": 2, "gpus_per_node": 2},
        },
        "dft": {
            "mpi": {"placement": "nodes", "launcher": "srun", "ranks_per_node": 2},
            "provider": {**QUICK, "partition": "cpu", "exclusive": True, "nodes_per_block": 2},
        },
        "md": {
            "workers_per_node": 1,
            "provider": {**QUICK, "partition": "md", "cores_per_node": 1},
        },
    }
    return {
        "name": "onemachine",
        "address": "127.0.0.1",
        "heartbeat_period_s": 1,
        "heartbeat_threshold_s": 5,
        "idle_s": 300,
        "pools": {**values, **pools},
    }
