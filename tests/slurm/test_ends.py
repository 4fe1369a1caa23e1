"""However the coordinator ends, none of its jobs stays: neither running nor queued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import HERE, jobs, site_values
from slurm_nodes import QUICK, wait_until

from executors.provenance import check_one_place

pytestmark = pytest.mark.usefixtures("empty_queue")

START_S = 120.0
ORDERLY_S = 30.0


class Coordinator:
    """The program, two pools at work, and the third waiting in the queue for a taken node."""

    def __init__(self, folder: Path) -> None:
        nodes = {**QUICK, "partition": "cpu", "exclusive": True, "nodes_per_block": 2}
        site = folder / "site.yaml"
        site.write_text(yaml.safe_dump(site_values(dft={"workers_per_node": 1, "provider": nodes})))
        take = ["sbatch", "--parsable", "--partition=cpu", "--exclusive", "--wrap", "sleep 600"]
        taken = subprocess.run(
            [*take, "--output=/dev/null"], capture_output=True, text=True, check=True
        )
        self.other = taken.stdout.strip()
        name, value = "BNNFLOW_TEST", str(uuid.uuid4())
        self.mark = f"{name}={value}".encode()
        self.process = subprocess.Popen(
            [sys.executable, HERE / "pool_program.py", site, folder / "run"],
            env=os.environ | {name: value, "PYTHONPATH": str(check_one_place())},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        wait_until(lambda: sorted(self.jobs().values()) == ["PENDING", "RUNNING", "RUNNING"], 30.0)

    def jobs(self) -> dict[str, str]:
        return {name: state for name, state in jobs().items() if name != self.other}

    def reaper(self) -> int:
        """The process that waits to cancel the jobs."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_text()
                marked = self.mark in (folder / "environ").read_bytes()
            except OSError:
                continue
            if marked and line.startswith("bash") and "bnnflow-jobs-" in line:
                return int(folder.name)
        raise AssertionError("no watcher")


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    started = Coordinator(tmp_path)
    started.wait_until_ready()
    yield started
    started.process.kill()
    started.process.communicate()


def test_sigterm(coordinator: Coordinator) -> None:
    coordinator.process.terminate()
    assert coordinator.process.wait(ORDERLY_S) == -signal.SIGINT  # as a KeyboardInterrupt ends
    assert coordinator.jobs() == {}


def test_ctrl_c_to_the_whole_group_twice(coordinator: Coordinator) -> None:
    for _ in range(2):
        os.killpg(coordinator.process.pid, signal.SIGINT)
    assert coordinator.process.wait(ORDERLY_S) == -signal.SIGINT
    assert coordinator.jobs() == {}


def test_sigkill(coordinator: Coordinator) -> None:
    coordinator.process.kill()
    took = wait_until(lambda: coordinator.jobs() == {}, ORDERLY_S)
    print(f"jobs gone {took:.1f} s after SIGKILL of the coordinator")
    assert coordinator.other in jobs()  # nobody else's


def test_sigkill_of_coordinator_and_watcher(coordinator: Coordinator) -> None:
    """Running jobs hear nothing any more and end; what is queued ends so once it has started."""
    os.kill(coordinator.reaper(), signal.SIGKILL)
    coordinator.process.kill()
    took = wait_until(lambda: "RUNNING" not in coordinator.jobs().values(), 90.0)
    print(f"running jobs gone {took:.1f} s after SIGKILL of coordinator and watcher")
    subprocess.run(["scancel", coordinator.other], check=True)
    took = wait_until(lambda: coordinator.jobs() == {}, 120.0)
    print(f"the queued job gone {took:.1f} s after its turn had come")
