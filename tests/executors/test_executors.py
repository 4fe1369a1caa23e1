"""What every executor must do, with and without Parsl."""

import math
import operator
import threading
import time
from functools import partial

import numpy as np
import pytest

from bnnflow.errors import FaultError, StructureError
from bnnflow.records import Calibration, Structure
from executors.base import Executor, Pool
from executors.inline import InlineExecutor
from executors.pools import ParslExecutor
from executors.site import load_site


@pytest.fixture(params=["inline", "parsl"])
def executor(request):
    if request.param == "inline":
        with InlineExecutor() as inline:
            yield inline
    else:
        yield request.getfixturevalue("pools")


@pytest.mark.parametrize("pool", list(Pool))
def test_every_pool_runs_a_task(executor: Executor, pool):
    assert executor.submit(pool, math.factorial, 20).result(60) == math.factorial(20)


def test_records_travel_both_ways(executor):
    record = Calibration(shape=1.5, scale=10.0, count=3, sum_squares=2.25)
    assert executor.submit(Pool.MD, operator.attrgetter("sum_squares"), record).result(60) == 2.25
    copy = executor.submit(Pool.MD, operator.methodcaller("__reduce_ex__", 2), record).result(60)
    assert copy[1][0] is Calibration


def test_a_tasks_error_arrives_as_it_was(executor):
    future = executor.submit(Pool.DFT, math.sqrt, -1.0)
    with pytest.raises(ValueError, match="math domain error"):
        future.result(60)


def test_a_tasks_own_error_class_arrives(executor):
    build = partial(Structure, np.ones(2, dtype=np.int64))
    with pytest.raises(StructureError, match=r"expected \(2, 3\)"):
        executor.submit(Pool.DFT, build, np.zeros((1, 3))).result(60)


def test_callbacks_run(executor):
    called = threading.Event()
    executor.submit(Pool.GPU, operator.neg, 1).add_done_callback(lambda _: called.set())
    assert called.wait(60)


def test_chains_per_task_holds_all_chains(executor):
    per_task = executor.chains_per_task(8)
    assert 1 <= per_task <= 8
    assert math.ceil(8 / per_task) * per_task >= 8


def test_inline_runs_at_once_and_can_split():
    order = []
    with InlineExecutor(chains=3) as inline:
        inline.submit(Pool.MD, order.append, 1)
        order.append(2)
        assert inline.chains_per_task(8) == 3
        assert inline.chains_per_task(2) == 2
    assert order == [1, 2]


def test_inline_lets_ctrl_c_through():
    def interrupt(_):
        raise KeyboardInterrupt

    with InlineExecutor() as inline, pytest.raises(KeyboardInterrupt):
        inline.submit(Pool.MD, interrupt, None)


def test_a_request_that_cannot_travel_is_a_fault(pools):
    with pytest.raises(FaultError, match="pool md could not run the task"):
        pools.submit(Pool.MD, operator.truth, (item for item in ())).result(60)


def test_a_closed_executor_says_so():
    with pytest.raises(FaultError, match="not open"):
        ParslExecutor(load_site("local")).submit(Pool.MD, operator.neg, 1)


def test_a_round_trip_takes_milliseconds(pools):
    pools.submit(Pool.MD, operator.neg, 1).result(60)
    best = min(
        _seconds(lambda: pools.submit(Pool.MD, operator.neg, 1).result(60)) for _ in range(50)
    )
    assert best < 0.05


def _seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
