"""Made-up runs of ethanol, written through the real run store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from bnnflow.config import parse_config
from bnnflow.data import RunStore, create_run
from bnnflow.records import (
    Asked,
    Checkpoint,
    Commit,
    Decision,
    Driven,
    EnsembleRef,
    Event,
    Failed,
    Failure,
    FailureCause,
    Label,
    Labelled,
    LoopState,
    Outcome,
    Phase,
    Prediction,
    Reason,
    SampleResult,
    Segment,
    Spent,
    Structure,
    Updated,
)
from bnnflow.uncertainty import largest_trusted_std, probability_within, update
from bnnflow.units import from_kcal_per_mol

K = from_kcal_per_mol(1.0)
ETHANOL = molecule("CH3CH2OH")
QUARTET = (3, 2, 1, 0)  # H-O-C-C
SHIFT, MEMBERS, TIMESTEP = 4200.5, 3, 0.5
CONFIG = parse_config(
    {
        "material": {"structure": "ethanol"},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "dynamics": {"length_ps": 1.0, "temperature_K": 300.0},
        "reference": {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
        "sampler": {"chains": MEMBERS},
    }
)

MakeRun = Callable[..., Path]


class Story:
    """A run that tells itself: MD in stretches, a label and an update between two of them."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.calibration = CONFIG.calibration.record()
        self.ensemble: EnsembleRef | None = None
        self.names: list[str] = []
        self.step, self.clock, self.angle = 0, 0.0, 180.0
        metadata = {"timestep_fs": TIMESTEP, "seed": 1}
        self.store: RunStore = create_run(
            folder, config_text=CONFIG.to_yaml(), metadata=metadata, state=self.state(Phase.LABEL)
        )

    def state(self, phase: Phase) -> LoopState:
        structure = self.structure()
        integrator, rng = {}, self.rng.bit_generator.state
        velocities = np.zeros_like(structure.positions)
        return LoopState(
            phase=phase,
            checkpoint=Checkpoint(self.step, structure, velocities, None, integrator, rng),
            calibration=self.calibration,
            labels=tuple(self.names),
            n_requests=len(self.names),
            energy_shift=SHIFT if self.names else None,
            ensemble=self.ensemble,
        )

    def structure(self) -> Structure:
        atoms = ETHANOL.copy()
        atoms.set_dihedral(*QUARTET[::-1], self.angle, indices=[QUARTET[0]])
        return Structure.from_atoms(atoms)

    def commit(self, phase: Phase, *events: Event) -> None:
        self.store.commit(Commit(self.state(phase), events))

    def spend(self, kind: str, seconds: float) -> Spent:
        self.clock += seconds
        return Spent(kind, self.clock - seconds, seconds)

    def limit(self) -> float:
        return largest_trusted_std(self.calibration, threshold=K)

    def label(self, error: float, sigma: float) -> None:
        """Label the present frame: the first one has no prediction."""
        name, first = f"{len(self.names):04d}", not self.names
        structure, reference = self.structure(), self.rng.normal(scale=0.1)
        forces = self.rng.normal(size=structure.positions.shape)
        directory = str(self.folder / "labels" / name)
        label = Label(structure, reference - SHIFT, forces, None, "GFN2-xTB", directory, 8.1, "h")
        said = None if first else self._prediction(reference + error, sigma, forces)
        if not first:
            self.calibration = update(self.calibration, error=error, std=sigma)
        self.names.append(name)
        reason = Reason.FIRST_FRAME if first else Reason.UNCERTAIN
        decision = Decision(self.step, TIMESTEP * self.step, sigma, self.limit(), 0.9, True, reason)
        error = np.nan if first else error
        event = Labelled(name, self.step, label, said, reference, error, self.calibration)
        self.commit(Phase.UPDATE, Asked(decision), event, self.spend("label", 8.1))

    def _prediction(self, energy: float, sigma: float, forces: np.ndarray) -> Prediction:
        wrong = forces + self.rng.normal(scale=0.05, size=forces.shape)
        members = energy + np.zeros(MEMBERS)
        return Prediction(energy, sigma, 0.5 * sigma, members, wrong, np.full(forces.shape, 0.05))

    def update(self) -> None:
        version = len(self.names)
        self.ensemble = EnsembleRef(
            str(self.folder / "ensemble" / f"v{version:04d}"), version, MEMBERS
        )
        Path(self.ensemble.directory).mkdir(parents=True)
        for chain in range(MEMBERS):
            path = Path(self.ensemble.directory) / f"chain-{chain:02d}.safetensors"
            path.write_bytes(b"weights")
        temperature = tuple(1.05 + self.rng.normal(scale=0.02, size=MEMBERS))
        rmse = tuple(0.5 * K * self.rng.uniform(0.5, 1.0, size=MEMBERS) / np.sqrt(version))
        chains = tuple(range(MEMBERS))
        result = SampleResult(version, chains, temperature, rmse, rmse, rmse, rmse, 30.0, "h")
        self.commit(Phase.PROPAGATE, Updated(self.ensemble, (result,)), self.spend("update", 30.0))

    def drive(self, steps: int) -> None:
        """Take MD steps; the torsion hops now and then."""
        numbers = self.step + 1 + np.arange(steps)
        frames = [self._move() for _ in range(steps)]
        sigma = self.limit() * (0.55 + 0.4 * np.linspace(0, 1, steps) ** 2)
        sigma *= 1 + 0.05 * self.rng.normal(size=steps)
        if self.step:
            sigma[0] = np.nan  # a labelled step is driven by the reference
        self.step = int(numbers[-1])
        segment = Segment(
            Outcome.FINISHED,
            self.state(Phase.PROPAGATE).checkpoint,
            numbers,
            energy=np.cumsum(self.rng.normal(scale=0.01, size=steps)),
            energy_std=sigma,
            kinetic=np.full(steps, 0.35),
            temperature=300 + 70 * self.rng.normal(size=steps),
            positions=np.array(frames),
            cells=np.zeros((steps, 3, 3)),
        )
        probability = probability_within(self.calibration, std=sigma, threshold=K)
        driven = Driven(segment, self.limit(), probability, len(self.names))
        self.commit(Phase.LABEL, driven, self.spend("md", 0.01 * steps), self.spend("idle", 0.2))

    def _move(self) -> np.ndarray:
        basin = np.array([60.0, 180.0, 300.0])
        home = basin[np.argmin(np.abs((self.angle - basin + 180) % 360 - 180))]
        drift = (home - self.angle + 180) % 360 - 180
        hop = 60.0 * self.rng.choice([-1, 1]) if self.rng.uniform() < 0.01 else 0.0
        self.angle = (self.angle + 0.04 * drift + 4.0 * self.rng.normal() + hop) % 360
        return self.structure().positions

    def fail(self) -> None:
        message = "SCF <b>not</b> converged in 50 cycles"
        failure = Failure("label", FailureCause.NOT_CONVERGED, message, "labels/0002")
        self.commit(Phase.LABEL, Failed(failure, "frame dropped"), self.spend("idle", 3.0))


def tell(folder: Path, labels: int, stretch: int) -> Path:
    """A closed run with this many labels, and MD of `stretch` steps after each."""
    story = Story(folder)
    for number in range(labels):
        error = 1.05 * K if number == 2 else 0.1 * K * float(story.rng.normal())
        story.label(error, 1.05 * story.limit())
        story.update()
        if stretch:
            story.drive(stretch)
    if labels > 3:
        story.fail()
    story.store.close()
    return folder


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 5 labels and 300 steps, told once for all tests."""
    return tell(tmp_path_factory.mktemp("told") / "run", 5, 60)


@pytest.fixture
def make_run(told: Path, tmp_path: Path) -> MakeRun:
    """Callable (labels, stretch) -> folder of a run that the test may change."""

    def make(labels: int = 5, stretch: int = 60) -> Path:
        if (labels, stretch) == (5, 60):
            return Path(shutil.copytree(told, tmp_path / "run"))
        return tell(tmp_path / "run", labels, stretch)

    return make
