"""The run folder: what a run has done so far, safe against a kill at any moment.

One process, the coordinator, writes (`create_run`, `open_run`); any number may read (`read_run`, or
`read_gist` where frames do not matter).
"""

from bnnflow.data.gist import Gist, read_gist
from bnnflow.data.lock import is_driven
from bnnflow.data.reader import RunData, read_run
from bnnflow.data.sessions import add_session, read_sessions
from bnnflow.data.store import RunStore, create_run, is_run, open_run
from bnnflow.data.tables import Decisions, Failures, Labels, Timing, Trajectory, Updates

__all__ = [
    "Decisions",
    "Failures",
    "Gist",
    "Labels",
    "RunData",
    "RunStore",
    "Timing",
    "Trajectory",
    "Updates",
    "add_session",
    "create_run",
    "is_driven",
    "is_run",
    "open_run",
    "read_gist",
    "read_run",
    "read_sessions",
]
