"""What a loop yields to whoever drives it, and what it is sent back.

a request, or chains' requests together   the answer, or a tuple of answers in the same order
Commit                                    None, once it is written
Begin                                     None at once: the task runs, and its Begin names it
First                                     (begin, answer) of the first of these tasks to end
Rank                                      None: among its owner's tasks this one has another place
Drop                                      whether the task had not begun; it never will
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bnnflow.records import (
    Commit,
    ExploreRequest,
    LabelRequest,
    LoopState,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SelectRequest,
)


@dataclass(frozen=True, eq=False)
class Await:
    """Wait for what another loop of this coordinator will give; its answer is never None.

    given_up: whether that loop was left, for lack of time, before it gave it.
    """

    future: Future[Any]
    given_up: Callable[[], bool] = lambda: False


Work = (
    PropagateRequest
    | LabelRequest
    | PredictRequest
    | ExploreRequest
    | SelectRequest
    | tuple[SampleRequest, ...]
    | Await
)
"""What one task, or one for each group of chains, is asked to do; or another loop's promise."""


@dataclass(frozen=True, eq=False)
class Begin:
    """Have some work done while the loop goes on.

    rank: of several tasks of one owner that wait for a pool, the highest goes first.
    """

    work: Work
    rank: float = math.inf


@dataclass(frozen=True, eq=False)
class First:
    """Wait until one of several tasks has ended; of those that have, the first in this order."""

    jobs: tuple[Begin, ...]


@dataclass(frozen=True, eq=False)
class Rank:
    """Give a task that still waits another rank."""

    job: Begin
    rank: float


@dataclass(frozen=True, eq=False)
class Drop:
    """Forget a task; it does not begin if it has not yet.

    if_waiting: a task that has begun is not forgotten.
    """

    job: Begin
    if_waiting: bool = False


Request = Work | Commit | Begin | First | Rank | Drop
Loop = Generator[Request, Any, LoopState]
