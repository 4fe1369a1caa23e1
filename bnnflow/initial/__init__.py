"""Initial data: frames made from the first one, and the choice of those that are worth a label.

`explore` makes the candidates of one source, `farthest_frames` and `most_uncertain` choose.
"""

from bnnflow.initial.candidates import explore, rattled, strained
from bnnflow.initial.environments import environments
from bnnflow.initial.farthest import farthest_frames
from bnnflow.initial.uncertain import most_uncertain

__all__ = [
    "environments",
    "explore",
    "farthest_frames",
    "most_uncertain",
    "rattled",
    "strained",
]
