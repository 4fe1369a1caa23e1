"""What the pools are asked for, and what the sampling tasks answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnnflow.records.dynamics import Checkpoint, Dynamics, Forcing
from bnnflow.records.faults import Faults
from bnnflow.records.guards import Guards
from bnnflow.records.structures import FloatArray, Structure
from bnnflow.units import KCAL_PER_MOL


def model_family(model: str) -> str:
    """Architecture of a model, by its name in the registry or its file's: `chgnet`, else `mace`."""
    is_chgnet = model.partition(":")[0] == "chgnet" or model.endswith(".pth.tar")
    return "chgnet" if is_chgnet else "mace"


@dataclass(frozen=True)
class PotentialSpec:
    """Which foundation model to load, and how.

    model: name in the registry or path of a file; checksum: sha256 of the file, "" when unknown;
    allow_pickle: load a whole-model pickle from elsewhere, which can run any code.
    """

    model: str
    checksum: str = ""
    allow_pickle: bool = False
    dtype: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True)
class EnsembleRef:
    """A version of the posterior ensemble on disk: `directory/chain-JJ.safetensors` per member."""

    directory: str
    version: int
    n_members: int


@dataclass(frozen=True)
class ScheduleSpec:
    """The sampling schedule of one posterior update (METHOD 3), all of it explicit.

    name: what the run file records; steps: gradient steps; batch: frames per step; step_size:
    lr0; noise_free_fraction, ramp_fraction: shares of the steps without noise, then with the
    noise variance rising linearly to its full value; freeze_mass_fraction: share of the steps after
    which the mass, which starts anew at each update, stays fixed.
    """

    name: str
    steps: int
    batch: int
    step_size: float
    friction: float = 0.1
    second_moment_decay: float = 0.999
    epsilon: float = 1e-4
    noise_free_fraction: float = 0.2
    ramp_fraction: float = 0.05
    freeze_mass_fraction: float = 1.0


@dataclass(frozen=True)
class RtoSpec:
    """How an update conditions samples on new labels and corrects them (`bayes.rto`, `bayes.hmc`).

    name: what the run file records; trajectories, leapfrog_steps: of HMC, each step a gradient over
    all labels; max_jacobians, max_steps: of the Gauss-Newton search before it; force_std,
    force_std_factor: median, eV/Å, and one standard deviation, as a factor, of the force noise
    under its prior; prior_power: of a weight's sensitivity, with which its width falls.
    """

    name: str
    trajectories: int = 20
    leapfrog_steps: int = 5
    max_jacobians: int = 10
    max_steps: int = 40
    force_std: float = 0.5 * KCAL_PER_MOL
    force_std_factor: float = 3.0
    prior_power: float = 0.4


@dataclass(frozen=True, eq=False)
class PropagateRequest:
    """Drive MD with the ensemble for at most `n_steps`, or until a frame is to be labelled.

    limit: largest trusted sigma*, eV (inf: never ask, a production run); substitute: what the
    next evaluation is given instead of the ensemble's prediction (a labelled step);
    audit_every_steps: trusted frames whose step is a multiple of it are labelled too;
    force_limits: (n_atoms,) largest trusted std of each atom's force error, eV/Å, inf for no limit;
    guards: what no step may come to; evidence: folder for what is kept of one that would have, ""
    for none.
    """

    potential: PotentialSpec
    ensemble: EnsembleRef
    energy_std_floor: float
    checkpoint: Checkpoint
    dynamics: Dynamics
    n_steps: int
    limit: float
    substitute: Forcing | None = None
    audit_every_steps: int | None = None
    force_limits: FloatArray | None = None
    guards: Guards = field(default_factory=Guards)
    evidence: str = ""


@dataclass(frozen=True)
class Handling:
    """How a label is calculated, none of which changes its numbers.

    timeout_s: for all attempts of one label together; launcher: words in front of the command of
    an MPI code, "" for those of the worker (`bnnflow.reference.launch`); keep: "all" raw files of a
    good label, "compressed", or the "result" alone; free_disk_GB, free_memory_GB: with less of it
    a label is not begun.
    """

    timeout_s: float = 3600.0
    launcher: str = ""
    keep: str = "all"
    free_disk_GB: float = 0.1
    free_memory_GB: float = 0.0


@dataclass(frozen=True, eq=False)
class LabelRequest:
    """Label one structure with the reference in `directory` (unique to this label).

    previous: folder of the label before it in the same run, from which a code may take its
    starting guess; "" for none; followed: whether a later label may start from this one, for which
    the code's files are kept.
    """

    reference: Mapping[str, Any]
    structure: Structure
    directory: str
    handling: Handling = field(default_factory=Handling)
    previous: str = ""
    followed: bool = True


@dataclass(frozen=True, eq=False)
class PredictRequest:
    """Predict some structures with an ensemble, or with the foundation model (ensemble None).

    energy_std_floor: fixed likelihood std of the energy, eV.
    """

    potential: PotentialSpec
    ensemble: EnsembleRef | None
    energy_std_floor: float
    structures: tuple[Structure, ...]


@dataclass(frozen=True)
class SampleRequest:
    """Advance some chains of the ensemble to its next version.

    previous: ensemble to start from, None for the foundation model; chains: indices held by this
    task; labels: label folders of the data set, oldest first (the last one is the newest frame);
    n_known: how many of them `previous` has seen already;
    energy_shift: eV, added to every reference energy; energy_std: fixed likelihood std of each
    label's energy, eV; both of all labels, or one per label where materials are merged;
    prior_std: sigma_TL, with `rto` times a factor of each weight;
    head_prior_std: of the added heads' parameters, None: the same; directory: of the new version;
    faults: of published code, to reproduce; fresh: chains that start anew, from no last sample;
    attempt: which of several of the same update, each with streams of randomness of its own.
    """

    potential: PotentialSpec
    previous: EnsembleRef | None
    chains: tuple[int, ...]
    n_members: int
    version: int
    labels: tuple[str, ...]
    energy_shift: float | tuple[float, ...]
    energy_std: float | tuple[float, ...]
    prior_std: float
    schedule: ScheduleSpec | RtoSpec
    seed: int
    directory: str
    n_known: int = 0
    head_prior_std: float | None = None
    faults: Faults = field(default_factory=Faults)
    fresh: tuple[int, ...] = ()
    attempt: int = 0


@dataclass(frozen=True)
class SampleResult:
    """Chains that reached the next version, and what they report of themselves.

    kinetic_temperature: per chain, 1 when stationary (SGHMC: 1/(1 - friction/2)); energy_rmse: eV,
    over the data set after the update, per chain; force_rmse: eV/Å; acceptance: of HMC, NaN
    without; held_in_change: root mean square change, in the likelihood's stds, of the predictions
    for the labels that were known before the update (NaN without any); gradients: of one frame
    each, that the busiest chain took.
    """

    version: int
    chains: tuple[int, ...]
    kinetic_temperature: tuple[float, ...]
    energy_rmse: tuple[float, ...]
    force_rmse: tuple[float, ...]
    acceptance: tuple[float, ...]
    held_in_change: tuple[float, ...]
    seconds: float
    host: str
    gradients: int = 0
