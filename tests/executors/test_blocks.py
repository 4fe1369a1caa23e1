"""Parts of scheduler pools by themselves: the watcher, busy schedulers, devices, folders."""

import os
import time

import pytest
from parsl.launchers import SimpleLauncher
from parsl.providers.cluster_provider import ClusterProvider
from parsl.providers.errors import SubmitException

from bnnflow.errors import ConfigError, FaultError
from executors.base import Pool
from executors.blocks import scheduler
from executors.blocks.reaper import Reaper
from executors.blocks.scheduler import SchedulerBlocks
from executors.devices import settle_pinning
from executors.lifeline import Lifeline
from executors.pools import ParslExecutor
from executors.scratch import scratch_folder
from executors.site import parse_site


def appears(path, limit_s=10.0):
    end = time.monotonic() + limit_s
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.exists()


def test_the_watcher_runs_what_it_was_told_when_the_program_is_gone(tmp_path):
    line = Lifeline()
    reaper = Reaper(line.path)
    for name in ("one", "two words"):
        reaper.remember(f"touch {tmp_path}/{name.replace(' ', '-')}")
    time.sleep(0.3)
    assert list(tmp_path.iterdir()) == []
    line.cut()
    assert appears(tmp_path / "one") and appears(tmp_path / "two-words")


class Answers(ClusterProvider):
    """A scheduler that answers as told: an error's words, or a job id."""

    def __init__(self, answers):
        super().__init__("x", 1, 0, 0, 1, 1, "00:10:00", launcher=SimpleLauncher())
        self.answers = answers

    def submit(self, command, tasks_per_node, job_name):
        answer = self.answers.pop(0)
        if not answer.isdigit():
            raise SubmitException(job_name, "failed", stderr=answer, retcode=1)
        return answer

    def cancel(self, job_ids):
        self.cancelled = list(job_ids)
        return [True for _ in job_ids]


class Blocks(SchedulerBlocks, Answers):
    cancel_command = "end"

    def read_queue(self):
        return {}


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(scheduler, "RETRIES_S", (0.0, 0.0))

    def answering(*answers):
        made = Blocks(list(answers))
        made.told = []
        made.settle(poll_s=1, on_submit=made.told.append)
        return made

    return answering


def test_a_busy_scheduler_is_asked_again(blocks):
    busy = blocks(
        "sbatch: error: Socket timed out on send/recv operation", "slurmctld: try again", "7"
    )
    assert busy.submit("command", 1, "parsl.dft.block-0") == "7"
    assert busy.told == ["end 7"]


def test_a_refusal_is_said_at_once_in_one_line(blocks):
    refusing = blocks("sbatch: error: Invalid account\nor partition", "7")
    with pytest.raises(
        FaultError, match=r"dft.block-0 was not accepted: .*Invalid account or part"
    ):
        refusing.submit("command", 1, "parsl.dft.block-0")
    assert refusing.answers == ["7"]


def test_a_scheduler_that_stays_busy_is_given_up(blocks):
    with pytest.raises(FaultError, match="connection refused"):
        blocks(*["connection refused"] * 3).submit("command", 1)


def test_closed_pools_submit_nothing(blocks):
    closed = blocks("7")
    closed.cancel_rest()
    with pytest.raises(FaultError, match="closed"):
        closed.submit("command", 1)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("", {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}),
        ("amd", {"ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}),
        ("intel", {"ZE_AFFINITY_MASK"}),
    ],
)
def test_a_worker_sees_its_device_by_one_makers_variable(monkeypatch, kind, left):
    names = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
    for name in names:
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("BNNFLOW_ACCELERATOR_KIND", kind)
    settle_pinning()
    assert {name for name in names if name in os.environ} == left


def test_other_nodes_must_see_parsls_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with scratch_folder(None, shared=True) as folder:
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(ConfigError, match="has characters"),
        scratch_folder(tmp_path / "with space", shared=True),
    ):
        pass


def test_labels_that_blocks_leave_no_time_for_are_told():
    keys = {"kind": "slurm", "walltime": "01:00:00", "longest_task": "00:10:00"}
    site = parse_site({"name": "x", "pools": {"dft": {"workers_per_node": 1, "provider": keys}}})
    ((pool, line),) = ParslExecutor(site, longest_label_s=3600.0).notices()
    assert pool is Pool.DFT and "3600 s (reference.timeout_s)" in line and "600 s left" in line
    assert list(ParslExecutor(site, longest_label_s=600.0).notices()) == []
