"""Where the driver hears of what has ended, and what time it is.

A coordinator of a thousand materials waits for a thousand futures; asking each of them at every
turn would cost the more the more there are. Each future reports itself here instead.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Protocol


class Inbox(Protocol):
    """Tells of ended tasks in the order they ended."""

    def follow(self, future: Future[Any], item: Any) -> None:
        """Hear of `item` when the future ends."""
        ...

    def take(self, timeout_s: float) -> Any | None:
        """The next item whose future has ended; None when none did in time."""
        ...

    def now(self) -> float:
        """Seconds on the clock that tasks run by."""
        ...


class WallClockInbox:
    """Ends of real tasks, reported by whatever thread ended them."""

    def __init__(self) -> None:
        self._ended: SimpleQueue[Any] = SimpleQueue()

    def follow(self, future: Future[Any], item: Any) -> None:
        """Hear of `item` when the future ends."""
        future.add_done_callback(lambda _: self._ended.put(item))

    def take(self, timeout_s: float) -> Any | None:
        """The next item whose future has ended; None when none did in time."""
        try:
            return self._ended.get(timeout=timeout_s)
        except Empty:
            return None

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()
