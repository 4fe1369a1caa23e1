"""What ends under a task: its block (cancelled, at its walltime), its node, worker or process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import HERE, parent, processes_in, site_values
from run_job import REFERENCE
from slurm_nodes import QUICK, bring_back, lose_node, named, node_of, wait_until
from tiny_runs import assert_labels_whole, attempts

from bnnflow.data import RunData, read_run
from bnnflow.errors import BlockLostError, PoolLostError
from bnnflow.records import Label, LabelRequest, Structure
from bnnflow.tasks import label
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.provenance import check_one_place
from executors.site import parse_site
from workflows.submission import Submission

pytestmark = [pytest.mark.usefixtures("empty_queue"), pytest.mark.timeout(900)]


def test_a_label_whose_job_is_cancelled_is_made_again(tmp_path: Path) -> None:
    """scancel in mid-label: nothing lost, nothing wrong accepted, no failure booked."""

    def cancel(_attempt: Path) -> None:
        (job,) = named("dft")
        subprocess.run(["scancel", job], check=True, timeout=10)

    folder = _made_again("scancel", cancel, tmp_path)
    assert "pool dft lost its workers" in (folder / "run.log").read_text()


def test_a_label_whose_worker_is_killed_is_made_again(tmp_path: Path) -> None:
    """SIGKILL of the worker in mid-label: the calculation goes with it, the block stays."""

    def kill(attempt: Path) -> None:
        blocks = named("dft")
        (calculation,) = processes_in(attempt)
        os.kill(parent(calculation), signal.SIGKILL)
        wait_until(lambda: not processes_in(attempt), 15.0)
        assert named("dft") == blocks

    _made_again("SIGKILL of the worker", kill, tmp_path)


def test_a_label_whose_node_is_lost_is_made_again(tmp_path: Path, slurm: Path) -> None:
    """All processes of the node end at once in mid-label, and none is heard of again; the label is
    made in another block, once Slurm has given the node up."""
    lost = []

    def cut_power(_attempt: Path) -> None:
        (job,) = named("dft")
        lost.append(node_of(job))
        lose_node(slurm, lost[0])
        wait_until(lambda: job not in named("dft"), 120.0)
        wait_until(lambda: len(named("dft")) == 1, 120.0)
        (other,) = named("dft")
        wait_until(lambda: node_of(other), 60.0)
        assert (other, node_of(other)) != (job, lost[0]) and node_of(other) != lost[0]

    one_node = site_values()["pools"]["dft"]
    one_node["provider"] |= {"nodes_per_block": 1}
    try:
        folder = _made_again("loss of the node", cut_power, tmp_path, dft=one_node)
    finally:
        for node in lost:
            bring_back(slurm, node)
    assert "pool dft lost its workers" in (folder / "run.log").read_text()


def _made_again(
    what: str, lose: Callable[[Path], None], tmp_path: Path, **pools: dict[str, Any]
) -> Path:
    """Run the job, lose its first label in the middle, check the second attempt; the run folder."""
    folder = tmp_path / "run"
    with _job(tmp_path, **pools) as run:
        attempt = _in_the_middle(folder, "0000")
        lose(attempt)
        again = wait_until(lambda: len(attempts(folder)) == 2, 180.0)
        done = again + wait_until((folder / "labels" / "0000" / "result.h5").exists, 300.0)
        assert run.wait(600) == 0
    print(f"after {what}: label under way again in {again:.1f} s, there in {done:.1f} s")
    found = read_run(folder)
    assert_labels_whole(folder)
    assert attempts(folder) == ["labels/0000/attempt-01", "labels/0000/attempt-02"]
    assert found.labels.name == ("0000",) and len(found.failures.task) == 0
    assert "Submitted again" in (folder / "run.log").read_text()
    _assert_true(found, tmp_path)
    return folder


def test_a_label_whose_process_is_killed_costs_its_frame(tmp_path: Path) -> None:
    """SIGKILL of the calculation itself, as by the kernel out of memory: its own failure, booked;
    MD goes on with other noise to the next frame that needs a label.
    """
    folder = tmp_path / "run"
    with _job(tmp_path, "0.99") as run:
        attempt = _in_the_middle(folder, "0001")
        (calculation,) = processes_in(attempt)
        os.kill(calculation, signal.SIGKILL)
        again = wait_until(lambda: len(attempts(folder)) == 3, 180.0)
        done = again + wait_until((folder / "labels" / "0002" / "result.h5").exists, 300.0)
        assert run.wait(600) == 0
    print(f"after SIGKILL of a label: next one under way in {again:.1f} s, there in {done:.1f} s")
    found = read_run(folder)
    assert found.labels.name == ("0000", "0002")
    assert [found.failures.cause, found.failures.action] == [
        ("crashed",),
        ("frame dropped, MD goes on with new noise",),
    ]
    assert not (folder / "labels" / "0001" / "result.h5").exists()
    _assert_true(found, tmp_path)


@contextmanager
def _job(tmp_path: Path, *more: str, **pools: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The coordinator of run_job.py on the cluster, in a process of its own; killed if it stays."""
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump(site_values(**pools)))
    paths = os.pathsep.join([str(check_one_place()), str(HERE)])
    with subprocess.Popen(
        [sys.executable, HERE / "run_job.py", site, tmp_path / "run", *more],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def _in_the_middle(folder: Path, name: str) -> Path:
    """Wait until a label is being calculated; the folder of its attempt."""
    attempt = folder / "labels" / name / "attempt-01"
    wait_until(lambda: attempt.is_dir() and processes_in(attempt), 400.0)
    time.sleep(1.0)
    assert not (folder / "labels" / name / "result.h5").exists()
    return attempt


def _assert_true(found: RunData, tmp_path: Path) -> None:
    """Every label is the one that the code gives here for its structure."""
    for name, energy, positions in zip(
        found.labels.name, found.labels.energy, found.labels.positions, strict=True
    ):
        truth = _made_here(Structure(found.numbers, positions), tmp_path / "here" / name)
        assert energy == pytest.approx(truth.energy, abs=1e-6)


def _made_here(structure: Structure, folder: Path) -> Label:
    spec = {"engine": REFERENCE["engine"], **REFERENCE["options"]}
    made = label(LabelRequest(spec, structure, str(folder)))
    assert isinstance(made, Label)
    return made


def pools(folder: Path, **provider: Any) -> ParslExecutor:
    """A pool of single workers on one node of partition cpu."""
    keys = {**QUICK, "partition": "cpu", "cores_per_node": 1, **provider}
    return ParslExecutor(
        parse_site(site_values(dft={"workers_per_node": 1, "provider": keys})), folder
    )


def test_walltime_and_draining(tmp_path: Path) -> None:
    """A block takes no task it has no time for; one that outlives it all the same runs again."""
    mark = tmp_path / "mark"
    too_long = f"test -e {mark} && echo again || {{ touch {mark}; sleep 600; }}"
    limits = {"walltime": "00:02:00", "longest_task": "00:00:20"}
    job = "echo $SLURM_JOB_ID"
    with pools(tmp_path, max_blocks=2, **limits) as executor:
        first = executor.submit(Pool.DFT, subprocess.getoutput, job).result(60)
        began = time.monotonic()
        task = Submission(executor, Pool.DFT, subprocess.getoutput, too_long)
        wait_until(mark.exists, 30.0)
        time.sleep(45.0)  # until the block drains, at 120 - 20 - 60 s of its age
        second = executor.submit(Pool.DFT, subprocess.getoutput, job).result(60)
        assert first != second and {first, second} == set(named("dft"))
        with pytest.raises(BlockLostError, match="walltime"):
            task.future.result(240)
        lost = time.monotonic() - began
        assert lost > 90.0
        assert task.result() == "again"
        took = time.monotonic() - began - lost
        print(f"task lost with its block after {lost:.0f} s, answered {took:.1f} s later")


def test_blocks_are_given_back_when_idle(tmp_path: Path) -> None:
    keys = {**QUICK, "partition": "cpu", "cores_per_node": 1, "max_blocks": 2}
    values = site_values(dft={"workers_per_node": 1, "provider": keys}) | {"idle_s": 4}
    with ParslExecutor(parse_site(values), tmp_path) as executor:
        tasks = [
            executor.submit(Pool.DFT, time.sleep, 20),
            executor.submit(Pool.DFT, time.sleep, 1),
        ]
        wait_until(lambda: len(named("dft")) == 2, 30.0)
        tasks[1].result(60)
        wait_until(lambda: len(named("dft")) == 1, 15.0)  # one of two, while the other works
        assert not tasks[0].done()
        tasks[0].result(60)
        wait_until(lambda: named("dft") == [], 15.0)
        assert executor.submit(Pool.DFT, abs, -1).result(60) == 1


def test_a_held_job_is_told(tmp_path: Path) -> None:
    with pools(tmp_path, scheduler_options=["--hold"]) as executor:
        future: Future[int] = executor.submit(Pool.DFT, abs, -1)
        told: list[tuple[Pool, str]] = []
        wait_until(lambda: told.extend(executor.notices()) or told, 30.0)
        assert told == [(Pool.DFT, "pool dft: its job will not start by itself (JobHeldUser)")]
        assert not future.done()
        (job,) = named("dft")  # one, though a held job does no work
        subprocess.run(["scontrol", "release", job], check=True, timeout=10)
        assert future.result(60) == 1


def test_what_the_scheduler_refuses_is_said(tmp_path: Path) -> None:
    with pools(tmp_path, partition="nowhere") as executor:
        with pytest.raises(
            PoolLostError, match=r"pool dft does not work.*(nowhere|invalid partition)"
        ):
            executor.submit(Pool.DFT, abs, -1).result(60)


def test_workers_that_cannot_start_are_said(tmp_path: Path) -> None:
    keys = {**QUICK, "partition": "cpu", "cores_per_node": 1}
    dft = {"workers_per_node": 1, "modules": ["no-such/module"], "provider": keys}
    dft["environment"] = str(tmp_path / "no-such-environment")
    with ParslExecutor(parse_site(site_values(dft=dft)), tmp_path) as executor:
        with pytest.raises(PoolLostError, match=r"3 blocks in a row.*no-such-environment"):
            executor.submit(Pool.DFT, abs, -1).result(120)
