"""The records that travel between the coordinator and the pools.

Small things (frames, labels, decisions, checkpoints) travel by value as these frozen dataclasses;
large things (weights, labelled data) by reference, as a path and a version. Units: see `units`.
Every record is validated where it is made and trusted afterwards; every record can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnflow.errors import StructureError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell, with the electronic state a reference code needs.

    numbers: (n_atoms,) atomic numbers; positions: (n_atoms, 3) Å; cell: (3, 3) Å, one vector per
    row; pbc: (3,) periodic directions; charge: total charge in e; multiplicity: 2S + 1.
    """

    numbers: IntArray
    positions: FloatArray
    cell: FloatArray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(3, dtype=bool))
    charge: int = 0
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if self.numbers.ndim != 1 or self.positions.shape != (len(self.numbers), 3):
            raise StructureError(
                f"positions have shape {self.positions.shape}, expected ({len(self.numbers)}, 3): "
                "give one row of x, y, z in Å per atom"
            )

    @classmethod
    def from_atoms(cls, atoms: Atoms, *, charge: int = 0, multiplicity: int = 1) -> Structure:
        """Take numbers, positions, cell and pbc from ASE atoms."""
        return cls(
            numbers=np.asarray(atoms.numbers, dtype=np.int64).copy(),
            positions=np.asarray(atoms.positions, dtype=np.float64).copy(),
            cell=np.asarray(atoms.cell.array, dtype=np.float64).copy(),
            pbc=np.asarray(atoms.pbc, dtype=bool).copy(),
            charge=charge,
            multiplicity=multiplicity,
        )

    def to_atoms(self) -> Atoms:
        """ASE atoms with the same numbers, positions, cell and pbc."""
        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, eq=False)
class Label:
    """A converged reference calculation of one structure.

    energy: eV, as the code gives it (not shifted); forces: (n_atoms, 3) eV/Å; stress: (6,) eV/Å³
    in Voigt order and ASE's sign, None when the code gives none; level: level of theory in words;
    details: what the code reported (iterations, versions, warnings).
    """

    structure: Structure
    energy: float
    forces: FloatArray
    stress: FloatArray | None
    level: str
    directory: str
    seconds: float
    host: str
    details: Mapping[str, Any] = field(default_factory=dict)


class FailureCause(StrEnum):
    """Why a task gave no result."""

    NOT_CONVERGED = "not_converged"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    WRONG_GEOMETRY = "wrong_geometry"
    NON_FINITE = "non_finite"
    BAD_INPUT = "bad_input"


@dataclass(frozen=True)
class Failure:
    """A task that gave no result, with the evidence it left.

    task: label, sample or propagate; message: one line; directory: where the evidence lies.
    """

    task: str
    cause: FailureCause
    message: str
    directory: str = ""
    traceback: str = ""
    seconds: float = 0.0
    host: str = ""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the ensemble says of one structure (METHOD 4).

    energy: eV, mean over the k members, on the foundation model's energy scale; energy_std: total
    std, eV; energy_spread: std between members alone, eV; member_energies: (k,) eV;
    forces, forces_std: (n_atoms, 3) eV/Å; stress, stress_std: (6,) eV/Å³ or None.
    """

    energy: float
    energy_std: float
    energy_spread: float
    member_energies: FloatArray
    forces: FloatArray
    forces_std: FloatArray
    stress: FloatArray | None = None
    stress_std: FloatArray | None = None

    @property
    def finite(self) -> bool:
        """Whether every number is finite."""
        parts: list[Any] = [self.energy, self.energy_std, self.forces, self.forces_std]
        parts += [part for part in (self.stress, self.stress_std) if part is not None]
        return all(bool(np.all(np.isfinite(part))) for part in parts)


class Reason(StrEnum):
    """Why a frame was labelled, or trusted."""

    FIRST_FRAME = "first_frame"
    CERTAIN = "certain"
    UNCERTAIN = "uncertain"
    NON_FINITE_PROBABILITY = "non_finite_probability"
    AUDIT = "audit"


@dataclass(frozen=True)
class Decision:
    """One application of the rule of METHOD 6 to one frame.

    energy_std: sigma*, eV; limit: the largest sigma* that the rule trusts now, eV;
    probability: calibrated P(|energy error| < K); ask: whether a label was asked for.
    """

    step: int
    time_fs: float
    energy_std: float
    limit: float
    probability: float
    ask: bool
    reason: Reason


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
class Dynamics:
    """How molecular dynamics moves, in the units of the key names.

    kind: "langevin", "verlet" or "npt"; temperature_schedule: (time_fs, kelvin) corners joined by
    straight lines, constant before the first and after the last.
    """

    kind: str
    timestep_fs: float
    temperature_schedule: tuple[tuple[float, float], ...]
    friction_per_fs: float = 0.01
    pressure_bar: float = 1.0
    thermostat_time_fs: float = 100.0
    barostat_factor_GPa_fs2: float = 160.0 * 0.1 * 75.0**2


@dataclass(frozen=True, eq=False)
class Forcing:
    """Energy, forces and stress that a configuration is given instead of being evaluated.

    positions: (n_atoms, 3) Å, which must be met exactly; energy: eV, model scale; forces:
    (n_atoms, 3) eV/Å; stress: (6,) eV/Å³ or None.
    """

    positions: FloatArray
    energy: float
    forces: FloatArray
    stress: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to take the next MD step exactly as an uninterrupted run would.

    velocities: (n_atoms, 3) in ASE's internal unit; forcing: what the calculator gave at these
    positions (None before the first evaluation); integrator: state of thermostat and barostat;
    rng: state of the noise stream, as numpy's bit generator gives it.
    """

    step: int
    structure: Structure
    velocities: FloatArray
    forcing: Forcing | None
    integrator: Mapping[str, Any]
    rng: Mapping[str, Any]


class Outcome(StrEnum):
    """How a stretch of MD ended."""

    FINISHED = "finished"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of MD: m steps taken, and why it stopped.

    checkpoint: state after the last step taken; frame, prediction: the untrusted configuration of
    the next step, when the outcome is UNCERTAIN (that step is not taken yet); steps: (m,) step
    numbers; energy: (m,) eV potential energy; energy_std: (m,) eV, NaN where a label or
    another substitute drove the step; kinetic: (m,) eV; temperature: (m,) K; positions:
    (m, n_atoms, 3) Å; cells: (m, 3, 3) Å.
    """

    outcome: Outcome
    checkpoint: Checkpoint
    steps: IntArray
    energy: FloatArray
    energy_std: FloatArray
    kinetic: FloatArray
    temperature: FloatArray
    positions: FloatArray
    cells: FloatArray
    frame: Structure | None = None
    prediction: Prediction | None = None
    seconds: float = 0.0
    host: str = ""


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


@dataclass(frozen=True, eq=False)
class PropagateRequest:
    """Drive MD with the ensemble for at most `n_steps`, or until a frame is not trusted.

    limit: largest trusted sigma*, eV (inf: never ask, a production run); substitute: what the
    next evaluation is given instead of the ensemble's prediction (a labelled step).
    """

    potential: PotentialSpec
    ensemble: EnsembleRef
    energy_std_floor: float
    checkpoint: Checkpoint
    dynamics: Dynamics
    n_steps: int
    limit: float
    substitute: Forcing | None = None


@dataclass(frozen=True, eq=False)
class LabelRequest:
    """Label one structure with the reference in `directory` (unique to this label)."""

    reference: Mapping[str, Any]
    structure: Structure
    directory: str
    timeout_s: float


@dataclass(frozen=True)
class SampleRequest:
    """Advance some chains of the ensemble to its next version.

    previous: ensemble to start from, None for the foundation model; chains: indices held by this
    task; labels: label folders of the data set, oldest first (the last one is the newest frame);
    energy_shift: eV, added to every reference energy; energy_std: fixed likelihood std of each
    label's energy, eV; prior_std: sigma_TL; directory: of the new version.
    """

    potential: PotentialSpec
    previous: EnsembleRef | None
    chains: tuple[int, ...]
    n_members: int
    version: int
    labels: tuple[str, ...]
    energy_shift: float
    energy_std: float
    prior_std: float
    schedule: ScheduleSpec
    seed: int
    directory: str


@dataclass(frozen=True)
class SampleResult:
    """Chains that reached the next version, and what they report of themselves.

    kinetic_temperature: per chain, 1/(1 - friction/2) when stationary; energy_rmse: eV, over the
    data set after the update, per chain; force_rmse: eV/Å.
    """

    version: int
    chains: tuple[int, ...]
    kinetic_temperature: tuple[float, ...]
    energy_rmse: tuple[float, ...]
    force_rmse: tuple[float, ...]
    seconds: float
    host: str


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
class Calibration:
    """State of the on-the-fly calibration (METHOD 5).

    shape, scale: (a, b) of the Gamma prior over the precision factor lambda; count: n labelled
    errors; sum_squares: n M_n, the sum of (error / sigma*)^2 over them.
    """

    shape: float
    scale: float
    count: int = 0
    sum_squares: float = 0.0


class Phase(StrEnum):
    """What the loop waits for next."""

    LABEL = "label"
    UPDATE = "update"
    PROPAGATE = "propagate"
    DONE = "done"


@dataclass(frozen=True, eq=False)
class LoopState:
    """Everything the loop of one material needs to go on; the unit of commit and resume.

    n_labels: good labels in the data set; n_requests: label folders used so far, failed ones
    included; labels: folder names of the good ones, oldest first; frame, prediction: what is being
    labelled; substitute: what the next MD evaluation is given; energy_shift: eV, added to every
    reference energy (None before the first label).
    """

    phase: Phase
    checkpoint: Checkpoint
    calibration: Calibration
    labels: tuple[str, ...] = ()
    n_requests: int = 0
    energy_shift: float | None = None
    ensemble: EnsembleRef | None = None
    frame: Structure | None = None
    prediction: Prediction | None = None
    substitute: Forcing | None = None


@dataclass(frozen=True, eq=False)
class Driven:
    """Event: a stretch of MD was taken. probability: (m,) calibrated P(|error| < K)."""

    segment: Segment
    limit: float
    probability: FloatArray
    ensemble_version: int


@dataclass(frozen=True)
class Asked:
    """Event: the rule was applied to a frame that was not trusted."""

    decision: Decision


@dataclass(frozen=True, eq=False)
class Labelled:
    """Event: a label entered the data set.

    name: its folder; prediction: the ensemble's, made before any training on this label; shifted:
    eV, reference energy on the model's scale; error: eV, prediction minus shifted.
    """

    name: str
    step: int
    label: Label
    prediction: Prediction | None
    shifted: float
    error: float
    calibration: Calibration


@dataclass(frozen=True)
class Updated:
    """Event: every chain reached the next version."""

    ensemble: EnsembleRef
    results: tuple[SampleResult, ...]


@dataclass(frozen=True)
class Failed:
    """Event: a task failed and what was done about it."""

    failure: Failure
    action: str


@dataclass(frozen=True)
class Spent:
    """Event: wall time between two moments of the coordinator. kind: md, label, update or idle."""

    kind: str
    start_s: float
    seconds: float


Event = Driven | Asked | Labelled | Updated | Failed | Spent


@dataclass(frozen=True, eq=False)
class Commit:
    """What is written at once: the events since the last commit, and the state they lead to."""

    state: LoopState
    events: tuple[Event, ...]
