"""SIGTERM and Ctrl-C become one thing: KeyboardInterrupt, raised where it does no harm.

SIGUSR1 is another: a batch system's warning that the end of the job is near.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
WARNING = signal.SIGUSR1

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Inside, SIGTERM ends the program as Ctrl-C does: by KeyboardInterrupt, hence cleanly.

    Outside the main thread, which alone may set handlers, this does nothing.
    """
    with _handled(_raise):
        yield


@contextmanager
def stop_signals_held() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM wait; the first is raised as KeyboardInterrupt at the end.

    For starting and stopping processes, which must not be left half done: a second Ctrl-C during
    a shut-down does not break it. An exception from inside takes precedence.
    """
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    with _handled(hold):
        yield
    if held:
        _raise(held[0], None)


@contextmanager
def warning_signal_calls(tell: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGUSR1 calls `tell`, in the main thread, and interrupts nothing.

    Outside the main thread, which alone may set handlers, this does nothing.
    """

    def heard(_number: int, _frame: FrameType | None) -> None:
        tell()

    with _handled(heard, (WARNING,)):
        yield


def _raise(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _handled(handler: Handler, numbers: Sequence[signal.Signals] = STOPPING) -> Iterator[None]:
    """Install one handler for some signals, and put the old ones back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
