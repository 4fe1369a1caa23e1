"""What a scheduler's queue says about our jobs, in words that Parsl's scaling understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parsl.jobs.states import JobState


@dataclass(frozen=True)
class Job:
    """One job: its state, the scheduler's own word for it, and why it waits ("" if not said).

    stuck: it waits for something that will not come by itself, such as a release.
    """

    state: JobState
    word: str
    reason: str = ""
    stuck: bool = False


Queue = Mapping[str, Job]
"""Jobs by their id."""


def lost(word: str) -> Job:
    """Ended through no fault of its workers: Parsl must not count it as a failed start."""
    return Job(JobState.TIMEOUT, word)
