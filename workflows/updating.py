"""One update: every chain of an ensemble is brought to its next version."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from bnnflow.errors import TaskError
from bnnflow.records import Commit, EnsembleRef, Failed, LoopState, SampleResult, Updated
from workflows.ahead import Ahead, meanwhile
from workflows.plan import Plan
from workflows.protocol import Request
from workflows.requests import deal, gentler, sample_request, smaller, told_of_retry

Learned = tuple[EnsembleRef, list[Failed | Updated]]
"""The next version, and the events that led to it."""


def next_version(
    state: LoopState, plan: Plan, ahead: Ahead | None = None
) -> Generator[Request, Any, Learned]:
    """Sample all chains, given all labels of the state; MD may go ahead meanwhile.

    Those of a failed task start again, at half the step if they diverged. Raises TaskError beyond
    the plan's budget of failures.
    """
    version = state.ensemble.version + 1 if state.ensemble else 1
    directory = str(Path(plan.folder) / "ensemble" / f"v{version:04d}")
    results, failures = yield from _sample(state, plan, version, directory, ahead)
    ensemble = EnsembleRef(directory, version, plan.n_members)
    return ensemble, [*failures, Updated(ensemble, results)]


def _sample(
    state: LoopState, plan: Plan, version: int, directory: str, ahead: Ahead | None
) -> Generator[Request, Any, tuple[tuple[SampleResult, ...], list[Failed]]]:
    waiting = [
        sample_request(state, plan, version, directory, chains)
        for chains in deal(plan.n_members, plan.chains_per_task)
    ]
    done: list[SampleResult] = []
    failures: list[Failed] = []
    while waiting:
        results = yield from meanwhile(tuple(waiting), ahead)
        again = []
        for request, result in zip(waiting, results, strict=True):
            if isinstance(result, SampleResult):
                done.append(result)
                continue
            retry = gentler(request, result)
            again.append(retry)
            how = told_of_retry(request, retry)
            failures.append(Failed(result, f"chains {request.chains} run again{how}"))
        if len(failures) > plan.failure_budget:
            yield Commit(state, tuple(failures))
            raise TaskError(
                f"sampling failed {len(failures)} times ({failures[-1].failure.message}): look at "
                f"run.log; chains that diverge need a smaller {smaller(plan.schedule)}, in a new "
                "run"
            )
        waiting = again
    return tuple(sorted(done, key=lambda result: result.chains)), failures
