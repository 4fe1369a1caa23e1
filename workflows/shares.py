"""Who goes next when more tasks want a pool than it has workers: fair shares, and priorities.

Start-time fair queueing (Goyal, Vin and Cheng 1996) for each pool. Of those that wait, the owner
of the highest priority goes first; among equals the task whose start tag is smallest:

    start  = max(v, finish of the owner's task before)      v: start of the task begun last
    finish = start + cost / weight                          cost: seconds, see below

so that owners who want the pool get it in proportion to their weights, and one that wanted nothing
for a while has no claim to make up. The cost of a task is known when it has ended; until then the
mean of those before it stands for it, and the difference is put on the owner's account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

from executors.base import Executor, Pool

Task = Callable[[Any], Any]


@dataclass(eq=False)
class Share:
    """One owner's claim on the pools. weight: its share against others; priority: higher first.

    seconds: used of each pool so far.
    """

    name: str
    weight: float = 1.0
    priority: int = 0
    seconds: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))
    tags: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))


@dataclass(eq=False)
class Order:
    """One task that waits for its pool or runs there.

    began: when it was sent, None: it waits; cost: what its owner was charged, s; seconds: what the
    task itself says it took; rank: of one owner's tasks the highest goes first.
    """

    share: Share
    pool: Pool
    task: Task
    request: Any
    future: Future[Any] = field(default_factory=Future)
    asked: float = 0.0
    began: float | None = None
    cost: float = 0.0
    seconds: float | None = None
    dropped: bool = False
    rank: float = 0.0


class _Line:
    """The tasks of one pool: those of one owner by rank, then in order; owners by their tags."""

    def __init__(self, room: int | None) -> None:
        self.room = room
        self.running = 0
        self.mean_cost = 1.0
        self.virtual_time = 0.0
        self._waiting: dict[Share, list[Order]] = {}
        self._owners: list[tuple[int, float, int, Share]] = []
        self._places: dict[Share, int] = {}
        self._order = count()

    def add(self, order: Order) -> None:
        own = self._waiting.get(order.share)
        if own is not None:
            own.append(order)
            return
        self._waiting[order.share] = [order]
        self._enter(order.share, order.pool)

    def next(self) -> Order | None:
        """The task that goes next, if one waits and there is room."""
        while self._owners and (self.room is None or self.running < self.room):
            _, start, place, share = heappop(self._owners)
            if self._places.get(share) != place:
                continue
            order = self._leave(share)
            if not order.dropped:
                self._charge(order, start)
            if share in self._waiting:
                self._enter(share, order.pool)
            if not order.dropped:
                return order
        return None

    def _leave(self, share: Share) -> Order:
        own = self._waiting[share]
        order = max(own, key=lambda each: each.rank)  # the first of equals
        own.remove(order)
        del self._places[share]
        if not own:
            del self._waiting[share]
        return order

    def _charge(self, order: Order, start: float) -> None:
        self.virtual_time = start
        order.cost = self.mean_cost
        order.share.tags[order.pool] = start + order.cost / order.share.weight
        self.running += 1

    def _enter(self, share: Share, pool: Pool) -> None:
        """Put an owner into the line by its tag; a place it had there is void."""
        start = max(self.virtual_time, share.tags[pool])
        self._places[share] = next(self._order)
        heappush(self._owners, (-share.priority, start, self._places[share], share))

    def ended(self, order: Order, seconds: float) -> None:
        """Put what the task has cost more or less than expected on its owner's account."""
        self.running -= 1
        order.share.seconds[order.pool] += seconds
        order.share.tags[order.pool] += (seconds - order.cost) / order.share.weight
        self.mean_cost += 0.1 * (seconds - self.mean_cost)
        if order.share in self._waiting:
            self._enter(order.share, order.pool)

    @property
    def waiting(self) -> int:
        return sum(len(own) for own in self._waiting.values())


class Shares:
    """Stands between the driver and the pools: no more tasks in a pool than it can run soon.

    executor: the pools; now: the clock, s. Call `pump` whenever tasks have ended. All of it belongs
    to one thread; futures may be ended by others.
    """

    def __init__(self, executor: Executor, now: Callable[[], float]) -> None:
        self._executor = executor
        self._now = now
        self._lines: Mapping[Pool, _Line] = {
            pool: _Line(_room(executor.capacity(pool))) for pool in Pool
        }
        self._ended: SimpleQueue[Order] = SimpleQueue()

    def submit(
        self, share: Share, pool: Pool, task: Task, request: Any, *, rank: float = 0.0
    ) -> Order:
        """Have `task(request)` run when its turn comes; the order's future holds the answer."""
        order = Order(share, pool, task, request, asked=self._now(), rank=rank)
        self._lines[pool].add(order)
        self.pump()
        return order

    def drop(self, order: Order) -> None:
        """Do not begin a task that has not begun; one that runs is left to end."""
        order.dropped = True

    def pump(self) -> None:
        """Take in what has ended, and send what there is room for."""
        self._settle()
        for line in self._lines.values():
            while (order := line.next()) is not None:
                self._send(order)
                self._settle()

    def load(self) -> Mapping[Pool, tuple[int, int]]:
        """Tasks in each pool and tasks that wait for it."""
        return {pool: (line.running, line.waiting) for pool, line in self._lines.items()}

    def _settle(self) -> None:
        while True:
            try:
                order = self._ended.get_nowait()
            except Empty:
                return
            self._lines[order.pool].ended(order, self._cost(order))

    def _cost(self, order: Order) -> float:
        """What the task says it took, without its wait for a worker; else the time since."""
        elapsed = self._now() - (order.began if order.began is not None else self._now())
        return elapsed if order.seconds is None else min(order.seconds, elapsed)

    def _send(self, order: Order) -> None:
        order.began = self._now()
        try:
            real = self._executor.submit(order.pool, order.task, order.request)
        except Exception as error:
            real = Future()
            real.set_exception(error)
        real.add_done_callback(lambda future: self._pass_on(order, future))

    def _pass_on(self, order: Order, real: Future[Any]) -> None:
        """First the room, then the answer: whoever hears of the answer finds the room free."""
        error = real.exception()
        answer = None if error is not None else real.result()
        order.seconds = getattr(answer, "seconds", None)
        self._ended.put(order)
        if error is not None:
            order.future.set_exception(error)
        else:
            order.future.set_result(answer)


def _room(capacity: int | None) -> int | None:
    """Tasks in a pool at once: a few more than its workers, so that none waits for the next."""
    return None if capacity is None else capacity + max(1, capacity // 4)
