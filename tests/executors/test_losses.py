"""A lost worker, manager or interchange ends its tasks with an error, and never hangs the run."""

import operator
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import zmq

from bnnflow.errors import FaultError
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.probe import probe
from executors.site import parse_site

BOUND_S = 30
ONE = {"workers_per_node": 1, "threads_per_worker": 1}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """Pools of one worker each that count a counterpart as lost after two seconds."""
    values = {"heartbeat_period_s": 1, "heartbeat_threshold_s": 2}
    site = parse_site({"name": "x", "pools": {"gpu": ONE, "dft": ONE, "md": ONE}, **values})
    with ParslExecutor(site, tmp_path_factory.mktemp("impatient")) as executor:
        yield executor


def wait_until(condition):
    end = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_killed_worker_fails_its_task_and_is_replaced(impatient):
    before = impatient.submit(Pool.GPU, probe, ()).result(BOUND_S).process
    with pytest.raises(FaultError, match=r"a worker of pool gpu .* died"):
        impatient.submit(Pool.GPU, signal.raise_signal, signal.SIGKILL).result(BOUND_S)
    assert impatient.submit(Pool.GPU, probe, ()).result(BOUND_S).process != before


def test_a_worker_killed_while_idle_does_not_block_its_pool(impatient):
    worker = impatient.submit(Pool.MD, probe, ()).result(BOUND_S).process
    time.sleep(0.5)
    os.kill(worker, signal.SIGKILL)
    asked = impatient.submit(Pool.MD, operator.neg, 1)
    with pytest.raises(FaultError, match="pool md lost its workers"):
        asked.result(BOUND_S)
    assert impatient.submit(Pool.MD, operator.neg, 1).result(BOUND_S) == -1


def test_a_killed_manager_fails_its_task_and_is_replaced(impatient):
    worker = impatient.submit(Pool.MD, probe, ()).result(BOUND_S).process
    kill_manager = partial(os.kill, parent(worker))
    with pytest.raises(FaultError, match="pool md lost its workers"):
        impatient.submit(Pool.MD, kill_manager, signal.SIGKILL).result(BOUND_S)
    assert impatient.submit(Pool.MD, operator.neg, 1).result(BOUND_S) == -1
    assert not running(worker)


def running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_killed_interchange_fails_its_tasks(impatient):
    kernel = impatient._apps[Pool.DFT].data_flow_kernel
    assert impatient.submit(Pool.DFT, operator.neg, 1).result(BOUND_S) == -1
    waiting = impatient.submit(Pool.DFT, partial(os.read, 0), 1)
    kernel.executors["dft"].interchange_proc.kill()
    with pytest.raises(FaultError, match="lost its interchange"):
        impatient.submit(Pool.DFT, operator.neg, 1).result(BOUND_S)
    with pytest.raises(FaultError):
        waiting.result(BOUND_S)
    assert impatient.submit(Pool.GPU, operator.neg, 1).result(BOUND_S) == -1


def test_a_task_sent_before_the_loss_of_its_interchange_is_seen_fails(impatient, monkeypatch):
    """The send itself blocks then, in the one thread that all pools share."""
    executor = impatient._apps[Pool.MD].data_flow_kernel.executors["md"]
    monkeypatch.setattr(executor, "set_bad_state_and_fail_all", lambda error: None)
    executor.interchange_proc.kill()
    executor.interchange_proc.wait()
    sending = executor.outgoing_q.zmq_socket
    wait_until(lambda: not sending.poll(0, zmq.POLLOUT))  # it has seen its peer go
    unsent = impatient.submit(Pool.MD, operator.neg, 1)
    behind = impatient.submit(Pool.GPU, operator.neg, 1)
    with pytest.raises(FaultError, match="pool md lost its interchange"):
        unsent.result(BOUND_S)
    assert behind.result(BOUND_S) == -1
