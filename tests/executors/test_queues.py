"""What the schedulers' queues say, from lines in their own format, and what is said about it."""

import json

import pytest
from parsl.jobs.states import JobState, JobStatus

from bnnflow.errors import PoolLostError
from executors.blocks import flux, lsf, pbspro, slurm
from executors.blocks.failing import GiveUpAfterThree
from executors.blocks.queue import Job
from executors.blocks.scaling import idle_blocks
from executors.notices import QueueNotices


def states(queue):
    return {name: job.state for name, job in queue.items()}


def test_slurm():
    queue = slurm.parse_queue(
        [
            "CLUSTER: one",
            "1|RUNNING|None",
            "2|PENDING|Priority",
            "3|PENDING|JobHeldUser",
            "4|TIMEOUT|TimeLimit",
            "5|NODE_FAIL|None",
            "6|COMPLETING|None",
            "7|SUSPENDED|None",
            "8|FAILED|NonZeroExitCode",
            "9|CANCELLED|None",
        ]
    )
    assert states(queue) == {
        "1": JobState.RUNNING,
        "2": JobState.PENDING,
        "3": JobState.PENDING,
        "4": JobState.TIMEOUT,
        "5": JobState.TIMEOUT,
        "6": JobState.COMPLETED,
        "7": JobState.RUNNING,
        "8": JobState.FAILED,
        "9": JobState.CANCELLED,
    }
    assert (queue["2"].reason, queue["2"].stuck) == ("Priority", False)
    assert (queue["3"].reason, queue["3"].stuck) == ("JobHeldUser", True)


def test_pbspro():
    text = json.dumps(
        {
            "Jobs": {
                "11.server": {"job_state": "Q", "comment": "Not Running: not enough nodes"},
                "12.server": {"job_state": "H"},
                "13.server": {"job_state": "R"},
                "14.server": {"job_state": "S"},
                "15.server": {"job_state": "F"},
                "99.server": {"job_state": "R"},
            }
        }
    )
    queue = pbspro.parse_queue(text, [f"{number}.server.full.name" for number in range(11, 17)])
    assert {name.partition(".")[0]: state for name, state in states(queue).items()} == {
        "11": JobState.PENDING,
        "12": JobState.PENDING,  # Parsl's own would ask for another block, for ever
        "13": JobState.RUNNING,
        "14": JobState.RUNNING,
        "15": JobState.COMPLETED,
    }
    held = queue["12.server.full.name"]
    assert held.stuck and queue["11.server.full.name"].reason.startswith("Not Running")
    assert pbspro.parse_queue("qstat: cannot connect", ["11.server"]) == {}


def test_lsf():
    queue = lsf.parse_queue(
        ["21|PEND|New job is waiting for scheduling;", "22|PSUSP|-", "23|RUN|-", "24|DONE|-"]
    )
    assert list(states(queue).values()) == [
        JobState.PENDING,
        JobState.PENDING,  # Parsl's own would forget it, and leave it in the queue at the end
        JobState.RUNNING,
        JobState.COMPLETED,
    ]
    assert queue["22"].stuck and not queue["21"].stuck


def test_flux():
    queue = flux.parse_queue(["31|SCHED", "32|RUN", "33|TIMEOUT", "34|CANCELED", "35|FAILED"])
    assert list(states(queue).values()) == [
        JobState.PENDING,
        JobState.RUNNING,
        JobState.TIMEOUT,
        JobState.CANCELLED,
        JobState.FAILED,
    ]


def waits(seconds, reason="Priority", stuck=False):
    return [(seconds, Job(JobState.PENDING, "PENDING", reason, stuck))]


def test_waiting_is_told_ever_more_rarely():
    said = QueueNotices("dft")
    told = {at: said.news(waits(float(at))) for at in (10, 61, 100, 130, 200, 300, 7800)}
    assert told[10] == told[100] == told[200] == []
    assert told[61] == ["pool dft: its job waits in the queue, for 1 min so far (Priority)"]
    assert told[130] and told[300]
    assert told[7800] == ["pool dft: its job waits in the queue, for 2.2 h so far (Priority)"]
    assert said.news([]) == ["pool dft: its jobs have left the queue"]
    assert said.news([]) == []


def test_a_held_job_is_told_at_once_and_once():
    said = QueueNotices("gpu")
    held = waits(1.0, "JobHeldUser", stuck=True)
    assert said.news(held) == ["pool gpu: its job will not start by itself (JobHeldUser)"]
    assert said.news(waits(500.0, "JobHeldUser", stuck=True)) == []


class Pool:
    """Stands where Parsl's executor is told that it cannot go on."""

    label = "dft"
    given_up = None

    def set_bad_state_and_fail_all(self, error):
        self.given_up = error


def test_three_failures_in_a_row_end_a_pool_and_say_why(tmp_path):
    (tmp_path / "stderr").write_text("module: command not found\n")
    failed = JobStatus(JobState.FAILED, stderr_path=str(tmp_path / "stderr"))
    missing = JobStatus(JobState.MISSING, stderr_path=str(tmp_path / "stderr"))
    pool = Pool()
    look = GiveUpAfterThree(lambda: 7)
    look(pool, {"0": failed, "1": missing})
    assert pool.given_up is None
    look(pool, {"8": failed, "9": failed, "10": missing})
    assert isinstance(pool.given_up, PoolLostError)
    assert "module: command not found" in str(pool.given_up)


@pytest.mark.parametrize("state", [JobState.TIMEOUT, JobState.CANCELLED, JobState.COMPLETED])
def test_blocks_that_end_through_no_fault_of_theirs_do_not_end_a_pool(state):
    pool = Pool()
    failed = JobStatus(JobState.FAILED)
    blocks = {"0": failed, "1": failed, "2": JobStatus(state), "3": failed}
    GiveUpAfterThree(lambda: 0)(pool, blocks)
    assert pool.given_up is None


def test_blocks_that_fail_while_work_comes_back_do_not_end_a_pool():
    """In a long campaign each block may die some day; once none does any work, three are enough."""
    pool, answered, blocks = Pool(), 0, {}
    look = GiveUpAfterThree(lambda: answered)
    for number in range(6):
        answered += 10
        blocks[str(number)] = JobStatus(JobState.RUNNING)
        look(pool, blocks)
        blocks[str(number)] = JobStatus(JobState.FAILED)
        look(pool, blocks)
        assert pool.given_up is None
    blocks["6"] = JobStatus(JobState.FAILED)  # after block 5, which had worked
    look(pool, blocks)
    assert pool.given_up is None
    blocks["7"] = JobStatus(JobState.FAILED)
    look(pool, blocks)
    assert isinstance(pool.given_up, PoolLostError)


def test_only_blocks_all_of_whose_nodes_are_idle_are_given_back():
    def node(block, tasks, idle, active=True):
        return {"block_id": block, "tasks": tasks, "idle_duration": idle, "active": active}

    managers = [
        node("0", 0, 100.0),
        node("0", 1, 0.0),
        node("1", 0, 50.0),
        node("1", 0, 70.0),
        node("2", 0, 90.0),
        node("3", 0, 5.0),
        node("4", 0, 500.0, active=False),
    ]
    assert idle_blocks(managers, 20.0) == ["2", "1"]
