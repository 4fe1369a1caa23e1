"""What a loop yields to whoever drives it, and what it is sent back.

a request, or chains' requests together   the answer, or a tuple of answers in the same order
Commit                                    None, once it is written
Begin                                     None at once: the task runs, and its Begin names it
First                                     (begin, answer) of the first of these tasks to end
Drop                                      None: nobody waits for this task any more
"""

from __future__ import annotations

from collections.abc import Generator
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

Work = (
    PropagateRequest
    | LabelRequest
    | PredictRequest
    | ExploreRequest
    | SelectRequest
    | tuple[SampleRequest, ...]
)
"""What one task, or one for each group of chains, is asked to do."""


@dataclass(frozen=True, eq=False)
class Begin:
    """Have some work done while the loop goes on."""

    work: Work


@dataclass(frozen=True, eq=False)
class First:
    """Wait until one of several tasks has ended; of those that have, the first in this order."""

    jobs: tuple[Begin, ...]


@dataclass(frozen=True, eq=False)
class Drop:
    """Forget a task; it does not begin if it has not yet."""

    job: Begin


Request = Work | Commit | Begin | First | Drop
Loop = Generator[Request, Any, LoopState]
