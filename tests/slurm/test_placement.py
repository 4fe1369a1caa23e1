"""Where the ranks of labels go: whole nodes, several nodes, several labels on a node.

The labels are a real MPI program whose sum is right only when its ranks are one MPI job.
"""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, jobs, site_values
from slurm_nodes import QUICK, named

from executors.base import Pool
from executors.pools import ParslExecutor
from executors.site import parse_site

pytestmark = pytest.mark.usefixtures("empty_queue")

ANSWER_S = 120
RUNS_S = 3.0
OPEN_MPI = (
    "export OMPI_MCA_btl=self,tcp OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
    "OMPI_MCA_rmaps_base_oversubscribe=1"
)
LOCAL_MPIRUN = f"{OPEN_MPI}\nexport OMPI_MCA_plm=isolated OMPI_MCA_ras=^slurm"
"""Left to itself, mpirun takes this machine for another one, and a whole step to reach it."""
RANK = re.compile(r"rank (\d+) of (\d+) sum (\d+) on (\S+) from ([\d.]+) to ([\d.]+)")


@dataclass(frozen=True)
class Ran:
    """One run of the program: its ranks, their nodes, and when it ran."""

    ranks: int
    nodes: tuple[str, ...]
    start_s: float
    end_s: float


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program."""
    path = tmp_path_factory.mktemp("mpi") / "rank_sum"
    subprocess.run(["mpicc", HERE / "rank_sum.c", "-o", path], check=True, timeout=60)
    return path


def labels(executor: ParslExecutor, program: Path, count: int) -> list[Ran]:
    """Run the program `count` times at once through the dft pool, as an MPI code is run."""
    line = f'eval "$BNNFLOW_LAUNCHER {program} {RUNS_S}"'
    futures = [executor.submit(Pool.DFT, subprocess.getoutput, line) for _ in range(count)]
    return [_read(future) for future in futures]


def _read(future: Future[str]) -> Ran:
    output = future.result(ANSWER_S)
    found = [match.groups() for match in RANK.finditer(output)]
    sizes = {int(row[1]) for row in found}
    assert sizes == {len(found)}, output
    assert {int(row[2]) for row in found} == {sum(range(len(found)))}
    assert sorted(int(row[0]) for row in found) == list(range(len(found)))
    times = [float(row[4]) for row in found], [float(row[5]) for row in found]
    nodes = tuple(sorted({row[3] for row in found}))
    return Ran(len(found), nodes, min(times[0]), max(times[1]))


def pools(
    tmp_path: Path, mpi: dict[str, Any], *, init: str = OPEN_MPI, **provider: Any
) -> ParslExecutor:
    keys = {**QUICK, "partition": "cpu", **provider}
    dft = {"mpi": mpi, "provider": keys, "worker_init": init}
    return ParslExecutor(parse_site(site_values(dft=dft)), tmp_path)


def at_once(found: list[Ran]) -> bool:
    return max(each.start_s for each in found) < min(each.end_s for each in found)


def test_two_labels_at_once_each_on_a_node_of_its_own(tmp_path: Path, program: Path) -> None:
    mpi = {"placement": "nodes", "launcher": "srun", "ranks_per_node": 2}
    with pools(tmp_path, mpi, exclusive=True, nodes_per_block=2) as executor:
        found = labels(executor, program, 4)
        assert len(named("dft")) == 1
    assert {each.ranks for each in found} == {2}
    assert at_once(found[:2]) and {each.nodes for each in found[:2]} == {("n1",), ("n2",)}
    assert min(each.start_s for each in found[2:]) > min(each.end_s for each in found[:2]) - 0.01


def test_a_label_on_two_nodes(tmp_path: Path, program: Path) -> None:
    mpi = {
        "placement": "nodes",
        "launcher": "srun",
        "nodes_per_label": 2,
        "ranks_per_node": 2,
    }
    with pools(tmp_path, mpi, exclusive=True, nodes_per_block=2) as executor:
        (found,) = labels(executor, program, 1)
    assert (found.ranks, found.nodes) == (4, ("n1", "n2"))


def test_whole_nodes_from_several_blocks(tmp_path: Path, program: Path) -> None:
    """Parsl would take one block for enough: it counts labels per node, not per block."""
    mpi = {"placement": "nodes", "launcher": "srun", "ranks_per_node": 2}
    with pools(tmp_path, mpi, exclusive=True, nodes_per_block=1, max_blocks=2) as executor:
        found = labels(executor, program, 2)
        assert len(named("dft")) == 2
    assert {each.nodes for each in found} == {("n1",), ("n2",)}


def test_several_labels_on_one_node(tmp_path: Path, program: Path) -> None:
    mpi = {"placement": "pack", "launcher": "srun", "ranks_per_node": 2}
    with pools(tmp_path, mpi, cores_per_node=4) as executor:
        found = labels(executor, program, 2)
    assert at_once(found) and [each.ranks for each in found] == [2, 2]
    assert len({each.nodes for each in found}) == 1


def test_several_labels_on_each_of_two_nodes(tmp_path: Path, program: Path) -> None:
    """The workers' own step holds all cores; it must not keep the labels' steps waiting."""
    mpi = {"placement": "pack", "launcher": "srun", "ranks_per_node": 2}
    with pools(tmp_path, mpi, cores_per_node=4, nodes_per_block=2) as executor:
        found = labels(executor, program, 4)
    assert at_once(found) and [each.ranks for each in found] == [2] * 4
    assert sorted(each.nodes for each in found) == [("n1",), ("n1",), ("n2",), ("n2",)]


def test_labels_started_by_mpirun(tmp_path: Path, program: Path) -> None:
    mpi = {"placement": "pack", "launcher": "mpirun", "ranks_per_node": 2}
    with pools(tmp_path, mpi, init=LOCAL_MPIRUN, cores_per_node=4) as executor:
        found = labels(executor, program, 2)
    assert at_once(found) and [each.ranks for each in found] == [2, 2]
    assert jobs() == {}
