"""Who goes next in a pool: shares by weight, priorities, and no more than there is room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from canned import Answers, first_state, plan

from bnnflow.records import LabelRequest
from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.otf import fine_tune
from workflows.protocol import Begin, Drop, First
from workflows.shares import Order, Share, Shares
from workflows.simulation import SimulatedPools


class Log:
    """One pool of so many workers, and which task ended when."""

    def __init__(self, workers: int, seconds: Any = lambda _pool, _request: 1.0) -> None:
        self.ended: list[Any] = []
        self.seconds = seconds
        self.pools = SimulatedPools(
            dict.fromkeys(Pool, workers), seconds=seconds, answer=self.answer
        )
        self.shares = Shares(self.pools, self.pools.now)

    def answer(self, request: Any) -> Any:
        self.ended.append(request)
        return SimpleNamespace(seconds=self.seconds(Pool.DFT, request))

    def ask(self, share: Share, request: Any, pool: Pool = Pool.DFT) -> Order:
        order = self.shares.submit(share, pool, abs, request)
        self.pools.follow(order.future, order)
        return order

    def run(self, until: float = float("inf")) -> None:
        while self.pools.now() < until and self.pools.take(0.0) is not None:
            self.shares.pump()


def test_owners_get_the_pool_by_weight() -> None:
    """Both want it all the time; of sixty tasks the heavier has had three times as many."""
    log = Log(1)
    light, heavy = Share("light", weight=1.0), Share("heavy", weight=3.0)
    for _ in range(200):
        log.ask(light, "light")
        log.ask(heavy, "heavy")
    log.run(until=60.0)
    counts = Counter(log.ended)
    assert counts["heavy"] / counts["light"] == pytest.approx(3.0, rel=0.1)


def test_shares_are_of_time_not_of_tasks() -> None:
    """Tasks of one take three times as long: it gets a third as many, and half of the time."""
    log = Log(1, lambda _pool, request: 3.0 if request == "long" else 1.0)
    short, long = Share("short"), Share("long")
    for _ in range(300):
        log.ask(short, "short")
        log.ask(long, "long")
    log.run(until=240.0)
    assert long.seconds[Pool.DFT] == pytest.approx(short.seconds[Pool.DFT], rel=0.1)
    assert Counter(log.ended)["short"] == pytest.approx(120, rel=0.1)


def test_one_owner_with_many_tasks_does_not_keep_another_waiting() -> None:
    log = Log(1)
    greedy, late = Share("greedy"), Share("late")
    for number in range(100):
        log.ask(greedy, number)
    log.ask(late, "late")
    log.run(until=6.0)
    assert "late" in log.ended


def test_who_wanted_nothing_for_a_while_has_no_claim_to_make_up() -> None:
    log = Log(1)
    busy, idle = Share("busy"), Share("idle")
    for _ in range(100):
        log.ask(busy, "busy")
    log.run(until=50.0)
    for _ in range(20):
        log.ask(idle, "idle")
    done = len(log.ended)
    log.run(until=70.0)
    assert Counter(log.ended[done:])["busy"] == pytest.approx(10, abs=2)


def test_a_higher_priority_goes_first() -> None:
    log = Log(1)
    for number in range(5):
        log.ask(Share("some"), number)
    log.ask(Share("urgent", priority=1), "urgent")
    log.run()
    assert log.ended.index("urgent") <= 2  # two are in the pool already


def test_tasks_of_one_owner_keep_their_order() -> None:
    log = Log(2)
    owner = Share("one")
    for number in range(20):
        log.ask(owner, number)
    log.run()
    assert log.ended == list(range(20))


@pytest.mark.parametrize(("workers", "sent"), [(1, 2), (4, 5), (16, 20)])
def test_no_more_tasks_are_sent_than_a_pool_can_run_soon(workers: int, sent: int) -> None:
    log = Log(workers)
    orders = [log.ask(Share(str(number)), number) for number in range(50)]
    assert sum(order.began is not None for order in orders) == sent
    assert log.shares.load()[Pool.DFT] == (sent, 50 - sent)
    assert log.shares.load()[Pool.MD] == (0, 0)
    log.run()
    assert sorted(log.ended) == list(range(50)) and log.pools.now() == -(-50 // workers)


def test_a_task_that_is_dropped_does_not_begin() -> None:
    log = Log(1)
    orders = [log.ask(Share(str(number)), number) for number in range(6)]
    log.shares.drop(orders[3])
    log.run()
    assert log.ended == [0, 1, 2, 4, 5]


def test_a_pool_that_refuses_a_task_ends_its_future() -> None:
    class Closed(SimulatedPools):
        def submit(self, pool: Pool, task: Any, request: Any) -> Any:
            raise ValueError("closed")

    pools = Closed(dict.fromkeys(Pool, 1), seconds=lambda _p, _r: 1.0, answer=abs)
    shares = Shares(pools, pools.now)
    order = shares.submit(Share("one"), Pool.MD, abs, 1)
    assert str(order.future.exception(1)) == "closed"
    shares.pump()
    assert shares.load()[Pool.MD] == (0, 0)


def test_loops_can_wait_for_the_first_of_several_tasks() -> None:
    """Tasks begin at once, answers come as they end, and what is dropped is never answered."""

    def ask(name: str) -> Begin:
        return Begin(LabelRequest({}, None, name))  # type: ignore[arg-type]

    heard: list[tuple[str, float]] = []
    lengths = {"slow": 9.0, "quick": 2.0, "middle": 4.0, "unwanted": 3.0}
    pools = SimulatedPools(
        dict.fromkeys(Pool, 9),
        seconds=lambda _pool, request: lengths[request.directory],
        answer=lambda request: request.directory,
    )

    def loop() -> Iterator[Any]:
        jobs = {name: ask(name) for name in lengths}
        for job in jobs.values():
            assert (yield job) is None
        yield Drop(jobs.pop("unwanted"))
        while jobs:
            job, answer = yield First(tuple(jobs.values()))
            assert jobs.pop(answer) is job
            heard.append((answer, pools.now()))

    store = SimpleNamespace(close=lambda: None)
    drive([Walker("w", loop(), store, on_commit=print)], pools, inbox=pools)  # type: ignore[arg-type]
    assert heard == [("quick", 2.0), ("middle", 4.0), ("slow", 9.0)]


def test_only_so_many_loops_are_open_at_once() -> None:
    pools = SimulatedPools(
        dict.fromkeys(Pool, 2), seconds=lambda _p, _r: 1.0, answer=lambda _r: "there"
    )
    opened: list[int] = []
    closed: list[int] = []

    def loop() -> Iterator[Any]:
        yield LabelRequest({}, None, "")  # type: ignore[arg-type]

    def walkers() -> Iterator[Walker]:
        for number in range(30):
            opened.append(number)
            assert len(opened) - len(closed) <= 3
            store = SimpleNamespace(close=lambda number=number: closed.append(number))
            yield Walker(str(number), loop(), store, on_commit=print)  # type: ignore[arg-type]

    drive(walkers(), pools, most_open=3, inbox=pools)
    assert sorted(closed) == list(range(30))


def test_a_run_is_left_where_it_stands_when_it_has_had_enough() -> None:
    pools = SimulatedPools(dict.fromkeys(Pool, 2), seconds=lambda _p, _r: 1.0, answer=Answers())
    commits: list[Any] = []
    store = SimpleNamespace(close=lambda: commits.append("closed"), commit=commits.append)
    said: list[str] = []
    walker = Walker(
        "w",
        fine_tune(first_state(), plan()),
        store,  # type: ignore[arg-type]
        on_commit=lambda commit: None,
        on_leave=said.append,
        on_end=lambda: said.append("end"),
        enough=lambda: "" if len(commits) < 2 else "labels: 1 of 1",
    )
    drive([walker], pools, inbox=pools)
    assert commits[-1] == "closed" and len(commits) == 3
    assert said == ["labels: 1 of 1", "end"]
