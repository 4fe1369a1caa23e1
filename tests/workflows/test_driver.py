"""The driver with a fake executor: who waits for whom, what is written when, and lost workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from canned import Answers, failure, first_state, plan, play

from bnnflow import tasks
from bnnflow.errors import (
    BlockLostError,
    FaultError,
    PoolLostError,
    ReferenceError,
    TaskError,
)
from bnnflow.records import Commit, Failure, FailureCause, LabelRequest, Spent
from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.otf import fine_tune
from workflows.simulation import SimulatedPools
from workflows.submission import LOST_BLOCK_TRIES, LOST_TASK_TRIES

STATE = first_state()


class FakeStore:
    """A run folder that only remembers."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.commits: list[Commit] = []
        self.closed = False
        self.log = log if log is not None else []

    def commit(self, commit: Commit) -> int:
        self.log.append("written")
        self.commits.append(commit)
        return len(self.commits)

    def close(self) -> None:
        self.closed = True


class FakeExecutor:
    """Hands out futures; `serve` sees every submission and may end any future so far."""

    def __init__(self, serve: Callable[[FakeExecutor], None]) -> None:
        self.serve = serve
        self.submitted: list[tuple[Pool, Any, Any]] = []
        self.futures: list[Future[Any]] = []

    def submit(self, pool: Pool, task: Any, request: Any) -> Future[Any]:
        self.submitted.append((pool, task, request))
        self.futures.append(Future())
        self.serve(self)
        return self.futures[-1]

    def capacity(self, pool: Pool) -> int | None:
        return None

    def notices(self) -> list[tuple[Pool, str]]:
        return []

    @property
    def directories(self) -> list[str]:
        return [request.directory for _, _, request in self.submitted]


def request(name: str) -> LabelRequest:
    """A task to submit, told apart by its name."""
    return LabelRequest({}, STATE.checkpoint.structure, name)


def walker(loop: Any, store: FakeStore | None = None, name: str = "w") -> Walker:
    return Walker(name, loop, store or FakeStore(), on_commit=lambda commit: None)  # type: ignore[arg-type]


def answered(outcomes: Sequence[Any]) -> FakeExecutor:
    """An executor that ends each submission at once: with an error, or with a result."""
    left = list(outcomes)

    def serve(executor: FakeExecutor) -> None:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            executor.futures[-1].set_exception(outcome)
        else:
            executor.futures[-1].set_result(outcome)

    return FakeExecutor(serve)


def asking(names: Sequence[str], got: list[Any]) -> Any:
    """A loop that asks for one task after another, and commits each answer."""
    for name in names:
        got.append((yield request(name)))
        yield Commit(STATE, ())
    return STATE


@pytest.mark.timeout(30)
def test_a_walker_that_waits_holds_nobody_up() -> None:
    """The slow walker's only task ends when the other one's last is submitted, not before."""

    def serve(executor: FakeExecutor) -> None:
        if executor.directories[-1] == "slow":
            return
        executor.futures[-1].set_result("quick answer")
        if executor.directories[-1] == "quick 4":
            executor.futures[executor.directories.index("slow")].set_result("slow answer")

    slow: list[Any] = []
    quick: list[Any] = []
    executor = FakeExecutor(serve)
    stores = FakeStore(), FakeStore()
    names = [f"quick {index}" for index in range(5)]
    drive(
        [walker(asking(["slow"], slow), stores[0]), walker(asking(names, quick), stores[1])],
        executor,  # type: ignore[arg-type]
    )
    assert executor.directories == ["slow", *names]
    assert slow == ["slow answer"] and quick == ["quick answer"] * 5
    assert [len(store.commits) for store in stores] == [1, 5]
    assert all(store.closed for store in stores)


@pytest.mark.timeout(30)
def test_answers_to_several_tasks_come_in_the_order_asked() -> None:
    got: list[Any] = []

    def loop() -> Any:
        got.append((yield (request("a"), request("b"), request("c"))))
        got.append((yield (request("d"),)))
        return STATE

    def serve(executor: FakeExecutor) -> None:
        if len(executor.futures) >= 3:
            for future, name in reversed(
                list(zip(executor.futures, executor.directories, strict=True))
            ):
                if not future.done():
                    future.set_result(name)

    drive([walker(loop())], FakeExecutor(serve))  # type: ignore[arg-type]
    assert got == [("a", "b", "c"), ("d",)]


def test_commits_are_written_before_the_loop_goes_on() -> None:
    log: list[str] = []

    def loop() -> Any:
        log.append("asks")
        yield Commit(STATE, ())
        log.append("goes on")
        yield Commit(STATE, ())
        log.append("ends")
        return STATE

    one = Walker("w", loop(), FakeStore(log), on_commit=lambda commit: log.append("shown"))  # type: ignore[arg-type]
    drive([one], answered([]))  # type: ignore[arg-type]
    assert log == ["asks", "written", "shown", "goes on", "written", "shown", "ends"]


def test_commit_that_cannot_be_written_stops_the_walker() -> None:
    class Full(FakeStore):
        def commit(self, commit: Commit) -> int:
            raise ReferenceError("the disk is full")

    went_on: list[Any] = []
    store = Full()

    def loop() -> Any:
        yield Commit(STATE, ())
        went_on.append("on")

    with pytest.raises(ReferenceError, match="full"):
        drive([walker(loop(), store)], answered([]))  # type: ignore[arg-type]
    assert store.closed and not went_on


def test_requests_go_to_their_pools() -> None:
    store = FakeStore()
    answers = Answers(uncertain=[3])

    def serve(executor: FakeExecutor) -> None:
        executor.futures[-1].set_result(answers(executor.submitted[-1][2]))

    executor = FakeExecutor(serve)
    drive([walker(fine_tune(first_state(), plan()), store)], executor)  # type: ignore[arg-type]
    places = {(type(each).__name__, pool, task) for pool, task, each in executor.submitted}
    assert places == {
        ("PropagateRequest", Pool.MD, tasks.propagate),
        ("PredictRequest", Pool.MD, tasks.predict),
        ("LabelRequest", Pool.DFT, tasks.label),
        ("SampleRequest", Pool.GPU, tasks.sample),
    }
    alone = play(fine_tune(first_state(), plan()), Answers(uncertain=[3]))
    phases = [item.state.phase for item in alone if isinstance(item, Commit)]
    assert [commit.state.phase for commit in store.commits] == phases


def test_lost_task_is_submitted_again() -> None:
    got: list[Any] = []
    executor = answered([FaultError("worker died"), FaultError("worker died"), "there"])
    drive([walker(asking(["a"], got))], executor)  # type: ignore[arg-type]
    assert got == ["there"]
    assert executor.directories == ["a", "a", "a"]


def test_only_the_lost_task_of_several_is_submitted_again() -> None:
    got: list[Any] = []

    def loop() -> Any:
        got.append((yield (request("a"), request("b"))))
        return STATE

    executor = answered(["A", FaultError("worker died"), "B"])
    drive([walker(loop())], executor)  # type: ignore[arg-type]
    assert got == [("A", "B")] and executor.directories == ["a", "b", "b"]


def test_task_lost_too_often_is_answered_as_a_failure() -> None:
    got: list[Any] = []
    executor = answered([FaultError("worker died")] * LOST_TASK_TRIES)
    drive([walker(asking(["a"], got))], executor)  # type: ignore[arg-type]
    assert len(executor.submitted) == LOST_TASK_TRIES
    assert isinstance(got[0], Failure)
    assert (got[0].task, got[0].cause) == ("label", FailureCause.CRASHED)
    assert got[0].directory == "a" and "worker died" in got[0].message


def test_a_block_lost_is_not_a_failure_of_the_calculation() -> None:
    """Far more losses than a task has tries, and the answer is the task's own."""
    got: list[Any] = []
    told: list[str] = []
    lost = [BlockLostError("walltime")] * (LOST_BLOCK_TRIES - 1)
    deaths = [FaultError("worker died")] * (LOST_TASK_TRIES - 1)
    executor = answered([*lost, *deaths, "there"])
    one = walker(asking(["a"], got))
    one.on_notice = told.append
    drive([one], executor)  # type: ignore[arg-type]
    assert got == ["there"] and len(executor.submitted) == len(lost) + len(deaths) + 1
    assert told[0] == "walltime. Submitted again" and len(told) == len(lost) + len(deaths)


def test_blocks_lost_for_ever_stop_the_run_without_a_failure() -> None:
    got: list[Any] = []
    store = FakeStore()
    executor = answered([BlockLostError("walltime")] * LOST_BLOCK_TRIES)
    with pytest.raises(PoolLostError, match=rf"label lost its workers {LOST_BLOCK_TRIES} times"):
        drive([walker(asking(["a"], got), store)], executor)  # type: ignore[arg-type]
    assert got == [] and store.closed and not store.commits


def test_a_lost_pool_stops_the_run_at_once() -> None:
    got: list[Any] = []
    executor = answered([PoolLostError("no such partition")])
    with pytest.raises(PoolLostError, match="no such partition"):
        drive([walker(asking(["a"], got))], executor)  # type: ignore[arg-type]
    assert got == [] and len(executor.submitted) == 1


def test_what_the_pools_tell_reaches_the_walkers_that_wait_for_them() -> None:
    news = [[(Pool.DFT, "a job waits"), (Pool.MD, "not for you")], [], []]

    class Telling(FakeExecutor):
        def notices(self) -> list[tuple[Pool, str]]:
            return news.pop(0)

    told: list[str] = []
    one = walker(asking(["a"], []))
    one.on_notice = told.append
    drive([one], Telling(lambda executor: executor.futures[-1].set_result("there")))  # type: ignore[arg-type]
    assert told == ["a job waits"]


def test_unforeseen_error_of_a_task_is_answered_at_once() -> None:
    got: list[Any] = []
    drive([walker(asking(["a"], got))], answered([ValueError("odd")]))  # type: ignore[arg-type]
    assert isinstance(got[0], Failure) and "ValueError: odd" in got[0].message


def test_failure_record_is_the_loops_business() -> None:
    got: list[Any] = []
    told = failure("label")
    executor = answered([told])
    drive([walker(asking(["a"], got))], executor)  # type: ignore[arg-type]
    assert got == [told] and len(executor.submitted) == 1


@pytest.mark.parametrize("order", [("bad", "good"), ("good", "bad")])
def test_users_mistake_stops_one_walker_and_is_raised_at_the_end(order: tuple[str, ...]) -> None:
    def serve(executor: FakeExecutor) -> None:
        if executor.directories[-1] == "bad":
            executor.futures[-1].set_exception(ReferenceError("no such basis"))
        else:
            executor.futures[-1].set_result("fine")

    stores = {"bad": FakeStore(), "good": FakeStore()}
    got: dict[str, list[Any]] = {"bad": [], "good": []}
    walkers = [walker(asking([name] * 4, got[name]), stores[name]) for name in order]
    with pytest.raises(ReferenceError, match="no such basis"):
        drive(walkers, FakeExecutor(serve))  # type: ignore[arg-type]
    assert got == {"bad": [], "good": ["fine"] * 4}
    assert len(stores["good"].commits) == 4 and not stores["bad"].commits
    assert all(store.closed for store in stores.values())


def test_error_of_a_loop_stops_that_walker_only() -> None:
    def failing() -> Any:
        yield Commit(STATE, ())
        raise TaskError("budget spent")

    stores = FakeStore(), FakeStore()
    got: list[Any] = []
    walkers = [walker(failing(), stores[0]), walker(asking(["a", "b"], got), stores[1])]
    with pytest.raises(TaskError, match="budget spent"):
        drive(walkers, answered(["A", "B"]))  # type: ignore[arg-type]
    assert got == ["A", "B"]
    assert [len(store.commits) for store in stores] == [1, 2]
    assert all(store.closed for store in stores)


def test_ctrl_c_is_not_kept_for_later() -> None:
    with pytest.raises(KeyboardInterrupt):
        drive([walker(asking(["a"], []))], answered([KeyboardInterrupt()]))  # type: ignore[arg-type]


def test_booked_time_adds_up_to_the_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every moment from the start to the last commit is booked once, under the right name."""
    now = 1000.0
    monkeypatch.setattr("workflows.inbox.time", SimpleNamespace(time=lambda: now))
    answers = Answers(uncertain=[3])
    lengths = {"LabelRequest": 30.0, "SampleRequest": 5.0, "PredictRequest": 0.5}

    def serve(executor: FakeExecutor) -> None:
        nonlocal now
        each = executor.submitted[-1][2]
        now += lengths.get(type(each).__name__, 0.25)
        executor.futures[-1].set_result(answers(each))

    class Slow(FakeStore):
        """Writing takes time, too: it counts as idle."""

        def commit(self, commit: Commit) -> int:
            nonlocal now
            now += 2.0
            return super().commit(commit)

    store = Slow()
    one = walker(fine_tune(first_state(), plan()), store)
    one.idle_since = now
    drive([one], FakeExecutor(serve))  # type: ignore[arg-type]
    spent = [item for commit in store.commits for item in commit.events if isinstance(item, Spent)]
    booked = dict.fromkeys(("md", "label", "update", "idle"), 0.0)
    for item in spent:
        booked[item.kind] += item.seconds
    writing = 2.0 * (len(store.commits) - 1)  # the last one has nothing after it to book it
    assert booked == {"md": 0.5 + 2 * 0.25, "label": 60.0, "update": 20.0, "idle": writing}
    assert sum(booked.values()) == now - 2.0 - 1000.0
    for earlier, later in pairwise(spent):
        assert later.start_s == earlier.start_s + earlier.seconds


def test_every_run_is_closed_when_the_driver_is_interrupted() -> None:
    stores = FakeStore(), FakeStore()

    def serve(executor: FakeExecutor) -> None:
        if executor.directories[-1] == "b":
            executor.futures[-1].set_exception(KeyboardInterrupt())

    walkers = [walker(asking([name], []), store) for name, store in zip("ab", stores, strict=True)]
    with pytest.raises(KeyboardInterrupt):
        drive(walkers, FakeExecutor(serve))  # type: ignore[arg-type]
    assert all(store.closed for store in stores)


def test_time_in_the_queue_is_that_of_the_first_try() -> None:
    """A task that is lost and submitted again did not wait for room until then."""
    pools = SimulatedPools(
        dict.fromkeys(Pool, 1), seconds=lambda _p, _r: 10.0, answer=lambda r: r.directory
    )
    lost = [True]
    real = pools._end_next

    def fail_first() -> None:
        if lost:
            lost.pop()
            _, _, task = pools._running.pop()
            pools._time += 10.0
            pools._free[task.pool] += 1
            task.future.set_exception(FaultError("worker died"))
        else:
            real()

    pools._end_next = fail_first  # type: ignore[method-assign]
    store = FakeStore()
    drive([walker(asking(["a"], []), store)], pools, inbox=pools)  # type: ignore[arg-type]
    spent = [each for commit in store.commits for each in commit.events if isinstance(each, Spent)]
    assert [(each.kind, each.seconds) for each in spent if each.seconds] == [("label", 20.0)]
