"""When a session is to be over, and what may still begin before that.

A coordinator in a batch job has a walltime. A task that is under way at its end is lost work, so
none is begun whose like has taken longer than what is left; what runs is taken in and committed.
The end is known from the start (`--stop-after`), or brought forward by the batch system's warning
(SIGUSR1). A session that leaves work exits with the code 75 (`console.AGAIN`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bnnflow.errors import ConfigError
from executors.signals import warning_signal_calls

MARGIN = 1.5
"""A task may take so much longer than the longest of its kind so far."""
LATENCY_S = 30.0
"""Until a worker has taken a task up: one that has just started imports first."""
CLOSING_S = 60.0
"""Kept of the time that the warning leaves, for closing the pools."""

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


@dataclass(eq=False)
class Deadline:
    """The end of a session.

    end: on the driver's clock, s; latency_s: of a task, beside what it takes itself; missed:
    whether work was left because of it.
    """

    end: float = math.inf
    latency_s: float = 0.0
    missed: bool = False
    _news: list[str] = field(default_factory=list)

    def allows(self, now: float, longest_s: float) -> bool:
        """Whether a task may begin. longest_s: what its like has taken at most, 0: not known."""
        return now + self.latency_s + MARGIN * longest_s < self.end

    def left_s(self, now: float) -> float:
        """Seconds until the end."""
        return max(0.0, self.end - now)

    def bring_forward(self, end: float, line: str) -> None:
        """Make the end an earlier one; a later one is ignored. line: said to the runs."""
        self.end = min(self.end, end)
        self._news.append(line)

    def news(self) -> list[str]:
        """What there is to tell since the last call."""
        told, self._news = self._news, []
        return told


@contextmanager
def session_deadline(stop_after: str | None, notice: str) -> Iterator[Deadline]:
    """The deadline of the session inside, from now on.

    stop_after: time that it has, 23h30m or 23:30:00; notice: time that SIGUSR1 says is left.
    Raises ConfigError for what is no time.
    """
    deadline = Deadline(latency_s=LATENCY_S)
    if stop_after is not None:
        deadline.end = time.time() + duration_s(stop_after)
    lead = duration_s(notice)
    left = max(lead - CLOSING_S, 0.5 * lead)

    def warned() -> None:
        deadline.bring_forward(time.time() + left, f"warned by SIGUSR1: at most {left:.0f} s left")

    with warning_signal_calls(warned):
        yield deadline


def duration_s(text: str) -> float:
    """Seconds of 23h30m, 90m, 1d, 45s or HH:MM:SS; raises ConfigError for anything else."""
    match = _DURATION.fullmatch(text) or _CLOCK.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ConfigError(f"'{text}' is no time, expected such as 23h30m, 90m or 23:30:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((24 * days + hours) * 60 + minutes) * 60 + seconds)
