"""What the schedulers' queues say, from lines in their own format, and what is said about it."""

import json

from parsl.jobs.states import JobState

from executors.blocks import flux, lsf, pbspro, slurm
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
