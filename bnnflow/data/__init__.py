"""The run folder: what a run has done so far, safe against a kill at any moment.

One process, the coordinator, writes (`create_run`, `open_run`); any number may read (`read_run`).
"""

from bnnflow.data.reader import RunData, read_run
from bnnflow.data.store import RunStore, create_run, is_run, open_run
from bnnflow.data.tables import Decisions, Failures, Labels, Timing, Trajectory, Updates

__all__ = [
    "Decisions",
    "Failures",
    "Labels",
    "RunData",
    "RunStore",
    "Timing",
    "Trajectory",
    "Updates",
    "create_run",
    "is_run",
    "open_run",
    "read_run",
]
