"""Who goes next when more tasks want a pool than it has workers: fair shares, and priorities.

Start-time fair queueing (Goyal, Vin and Cheng 1996) for each pool. Of those that wait, the owner
of the highest priority goes first; among equals the task whose start tag is smallest:

    start  = max(v, finish of the owner's task before)      v: start of the task begun last
    finish = start + cost / weight                          cost: seconds, see below

so that owners who want the pool get it in proportion to their weights, and one that wanted nothing
for a while has no claim to make up. The cost of a task is known when it has ended; until then the
mean of those before it stands for it, and the difference is put on the owner's account.

A task whose turn comes too late to end before the deadline is not begun at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

from executors.base import Executor, Pool
from workflows.deadline import Deadline

Task = Callable[[Any], Any]


@dataclass(eq=False)
class Share:
    """One owner's claim on the pools. weight: its share against others; priority: higher first.

    seconds: used of each pool so far; longest: of its tasks there, as far as known, s.
    """

    name: str
    weight: float = 1.0
    priority: int = 0
    seconds: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))
    longest: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))
    tags: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))


@dataclass(eq=False)
class Order:
    """One task that waits for its pool or runs there.

    began: when it was sent, None: it waits; cost: what its owner was charged, s; seconds: what the
    task itself says it took; rank: of one owner's tasks the highest goes first; finishing: it
    completes what another task has made, and is begun in any case; late: its turn came too late, it
    is never begun.
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
    rank: float = math.inf
    finishing: bool = False
    late: bool = False

    @property
    def bound(self) -> bool:
        """Whether the deadline holds for it."""
        return not (self.dropped or self.finishing)


class _Line:
    """The tasks of one pool: those of one owner by rank, then in order; owners by their tags."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers
        self.room = _room(workers)
        self.running = 0
        self.mean_cost = 1.0
        self.longest = 0.0
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

    def next(self, in_time: Callable[[float], bool]) -> Order | None:
        """The task that goes next, or whose turn came too late, if one waits and there is room.

        in_time: whether one that may take so long, s, would end before the deadline.
        """
        while self._owners and (self.room is None or self.running < self.room):
            _, start, place, share = self._owners[0]
            if self._places.get(share) != place:
                heappop(self._owners)
                continue
            if self._waits_for_a_worker(self._first_of(share), in_time):
                return None
            heappop(self._owners)
            order = self._leave(share)
            order.late = order.bound and not in_time(self.may_take(share, order.pool))
            goes = not (order.dropped or order.late)
            if goes:
                self._charge(order, start)
            if share in self._waiting:
                self._enter(share, order.pool)
            if goes or order.late:
                return order
        return None

    def _waits_for_a_worker(self, order: Order, in_time: Callable[[float], bool]) -> bool:
        """Whether a task, sent now, might begin too late, all workers being taken."""
        taken = self.workers is not None and self.running >= self.workers
        longest = self.may_take(order.share, order.pool)
        return taken and order.bound and not in_time(2.0 * longest)

    def may_take(self, share: Share, pool: Pool) -> float:
        """What an owner's tasks, else those of all, have taken at most, s; 0: not known."""
        return share.longest[pool] or self.longest

    def _first_of(self, share: Share) -> Order:
        """Of an owner's tasks, the one that goes first: of equal rank, the one asked for first."""
        return max(self._waiting[share], key=lambda each: each.rank)

    def _leave(self, share: Share) -> Order:
        own = self._waiting[share]
        order = self._first_of(share)
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
        if order.seconds is not None:  # without a wait for a worker
            self.longest = max(self.longest, seconds)
            order.share.longest[order.pool] = max(order.share.longest[order.pool], seconds)
        if order.share in self._waiting:
            self._enter(order.share, order.pool)

    @property
    def waiting(self) -> int:
        return sum(len(own) for own in self._waiting.values())


class Shares:
    """Stands between the driver and the pools: no more tasks in a pool than it can run soon.

    executor: the pools; now: the clock, s; deadline: before which tasks have to end; late: whether
    a task was not begun for that. Call `pump` whenever tasks have ended. All of it belongs to one
    thread; futures may be ended by others.
    """

    def __init__(
        self, executor: Executor, now: Callable[[], float], deadline: Deadline | None = None
    ) -> None:
        self._executor = executor
        self._now = now
        self._deadline = deadline or Deadline()
        self.late = False
        self._lines: Mapping[Pool, _Line] = {pool: _Line(executor.capacity(pool)) for pool in Pool}
        self._ended: SimpleQueue[Order] = SimpleQueue()

    def submit(
        self,
        share: Share,
        pool: Pool,
        task: Task,
        request: Any,
        *,
        rank: float = math.inf,
        finishing: bool = False,
    ) -> Order:
        """Have `task(request)` run when its turn comes; the order's future holds the answer."""
        order = Order(
            share,
            pool,
            task,
            request,
            asked=self._now(),
            rank=rank,
            finishing=finishing,
        )
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
            while (order := line.next(self._in_time)) is not None:
                if order.late:
                    self.late = True
                    continue
                self._send(order)
                self._settle()

    def may_take(self, order: Order) -> float:
        """What tasks like this one have taken at most, s; 0: not known."""
        return self._lines[order.pool].may_take(order.share, order.pool)

    def _in_time(self, longest_s: float) -> bool:
        return self._deadline.allows(self._now(), longest_s)

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
