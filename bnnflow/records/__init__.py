"""The records that travel between the coordinator and the pools.

Small things (frames, labels, decisions, checkpoints) travel by value as these frozen dataclasses;
large things (weights, labelled data) by reference, as a path and a version. Units: see `units`.
Every record is validated where it is made and trusted afterwards; every record can be pickled.
"""

from bnnflow.records.dynamics import Checkpoint, Dynamics, Forcing, Outcome, Segment
from bnnflow.records.faults import Faults
from bnnflow.records.forces import ForceRegion, ForceVerdict
from bnnflow.records.guards import GuardKind, Guards, Trip
from bnnflow.records.initial import (
    Explored,
    ExploreRequest,
    Initial,
    InitialFrame,
    Selected,
    SelectRequest,
    Source,
    SourceKind,
)
from bnnflow.records.loop import (
    Asked,
    Calibration,
    Commit,
    Driven,
    Estimates,
    Event,
    Failed,
    Labelled,
    LoopState,
    Phase,
    Spent,
    Updated,
)
from bnnflow.records.pools import PoolSize, Session
from bnnflow.records.requests import (
    EnsembleRef,
    Handling,
    LabelRequest,
    PotentialSpec,
    PredictRequest,
    PropagateRequest,
    RtoSpec,
    SampleRequest,
    SampleResult,
    ScheduleSpec,
    model_family,
)
from bnnflow.records.structures import (
    Decision,
    Failure,
    FailureCause,
    FloatArray,
    IntArray,
    Label,
    Prediction,
    Reason,
    Structure,
)

__all__ = [
    "Asked",
    "Calibration",
    "Checkpoint",
    "Commit",
    "Decision",
    "Driven",
    "Dynamics",
    "EnsembleRef",
    "Estimates",
    "Event",
    "ExploreRequest",
    "Explored",
    "Failed",
    "Failure",
    "FailureCause",
    "Faults",
    "FloatArray",
    "ForceRegion",
    "ForceVerdict",
    "Forcing",
    "GuardKind",
    "Guards",
    "Handling",
    "Initial",
    "InitialFrame",
    "IntArray",
    "Label",
    "LabelRequest",
    "Labelled",
    "LoopState",
    "Outcome",
    "Phase",
    "PoolSize",
    "PotentialSpec",
    "PredictRequest",
    "Prediction",
    "PropagateRequest",
    "Reason",
    "RtoSpec",
    "SampleRequest",
    "SampleResult",
    "ScheduleSpec",
    "Segment",
    "SelectRequest",
    "Selected",
    "Session",
    "Source",
    "SourceKind",
    "Spent",
    "Structure",
    "Trip",
    "Updated",
    "model_family",
]
