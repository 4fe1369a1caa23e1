"""Jobs and nodes of the emulated cluster (cluster.sh), and how a node of it is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CLUSTER = Path(__file__).with_name("cluster.sh")
QUICK = {"kind": "slurm", "exclusive": False, "poll_s": 1, "longest_task": "00:02:00"}
"""What all pools of the tests have in common."""

os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where Debian keeps daemons, for root alone


def named(pool: str) -> list[str]:
    """Ids of the jobs of one pool."""
    asked = ["squeue", "--noheader", "--format=%i %T %j"]
    output = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout
    rows = [line.split() for line in output.splitlines()]
    return [row[0] for row in rows if row[1] != "COMPLETING" and f".{pool}." in row[2]]


def node_of(job: str) -> str:
    """The node that a job of one node runs on."""
    asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%N"]
    return subprocess.run(
        asked, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def lose_node(cluster: Path, node: str) -> None:
    """End a node as a power cut does: its daemon, the keepers of its jobs' steps, and the jobs'
    own processes, of which none is heard of again. Slurm gives the node up after a while.
    """
    log = (cluster / "log" / f"slurmd.{node}.log").resolve()
    for process in _processes():  # they first: who sees its job die says so
        if _has_open(process, log):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    of_its_jobs = {f"SLURM_CONF={cluster / 'slurm.conf'}", f"SLURMD_NODENAME={node}"}
    for process in _processes():
        if of_its_jobs <= _environment(process):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def bring_back(cluster: Path, node: str) -> None:
    """Start a lost node again, and wait until Slurm has taken it back."""
    conf = str(cluster / "slurm.conf")
    subprocess.run(["slurmd", "-f", conf, "-N", node], check=True, timeout=20)
    asked = ["sinfo", "--noheader", f"--nodes={node}", "--format=%T"]

    def usable() -> bool:
        found = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
        return set(found.stdout.split()) <= {"idle", "mixed", "allocated"}

    wait_until(usable, 60.0)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _has_open(process: int, file: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(OSError):
        return any(link.readlink() == file for link in Path(f"/proc/{process}/fd").iterdir())
    return False


def _environment(process: int) -> set[str]:
    with suppress(OSError):
        return set(Path(f"/proc/{process}/environ").read_text(errors="replace").split("\0"))
    return set()


def wait_until(condition: Callable[[], Any], limit_s: float) -> float:
    """Wait for something; returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
        time.sleep(0.1)
    return time.monotonic() - started
