"""Guards: what a healthy run never meets, and what is told of a step that would be nonsense."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from ase.neighborlist import neighbor_list
from md_toys import DYNAMICS, argons, copper, prediction_of, wells
from scipy.stats import chi2

from bnnflow.md import describe, keep_evidence, propagate, start
from bnnflow.md.distances import close_pairs
from bnnflow.md.limits import ExplodedError, Limits, default_temperature
from bnnflow.records import (
    Checkpoint,
    Forcing,
    GuardKind,
    Guards,
    Outcome,
    Prediction,
    Segment,
    Structure,
    Trip,
)

LANGEVIN = DYNAMICS["langevin"]
WATER = Structure(np.array([8, 1, 1]), np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))


def begin(kind: str = "langevin") -> Checkpoint:
    return start(argons(4), dynamics=DYNAMICS[kind], seed=7)


def pushed(after: int, force: float):
    """Wells, except that from the n-th call on one atom is pushed."""
    calls = [0]

    def predict(structure: Structure) -> Prediction:
        calls[0] += 1
        answer = wells(structure)
        if calls[0] <= after:
            return answer
        forces = answer.forces.copy()
        forces[2, 1] += force
        return prediction_of(answer.energy, forces)

    return predict


def drive(predict, checkpoint: Checkpoint | None = None, **changes) -> Segment:
    settings = {"dynamics": LANGEVIN, "n_steps": 50, "limit": 0.05} | changes
    return propagate(predict=predict, checkpoint=checkpoint or begin(), **settings)


def test_a_force_beyond_the_limit_stops_before_the_step() -> None:
    segment = drive(pushed(after=8, force=80.0))
    assert segment.outcome is Outcome.GUARDED and segment.trip is not None
    trip = segment.trip
    assert (trip.guard, trip.atoms, trip.step) == (GuardKind.FORCE, (2,), 8)
    assert trip.value == pytest.approx(80.0, abs=3.0) and trip.limit == 50.0
    assert segment.checkpoint.step == 7 and len(segment.steps) == 7
    assert segment.frame is not None and segment.prediction is not None
    # Its atoms have room: there the ensemble has most to learn.
    assert segment.frame is trip.structure
    assert np.abs(segment.prediction.forces).max() > 50.0


def test_a_lasting_push_heats_up_until_the_temperature_guard_trips() -> None:
    segment = drive(pushed(after=4, force=20.0), guards=Guards(temperature_K=2000.0))
    assert segment.trip is not None and segment.trip.guard is GuardKind.TEMPERATURE
    assert segment.trip.value > segment.trip.limit == 2000.0
    assert segment.trip.atoms == (2,)
    assert segment.temperature.max() <= 2000.0
    assert segment.trip.step == segment.checkpoint.step + 1
    at = [np.array_equal(segment.frame.positions, row) for row in segment.positions]
    assert segment.temperature[at.index(True)] <= 1500.0  # calm, and the last that was
    assert (segment.temperature[at.index(True) + 1 :] > 1500.0).all()


def test_atoms_inside_one_another_are_not_asked_about() -> None:
    """Even where the ensemble would say that it is unsure: no reference can label that."""
    asked: list[Structure] = []

    def vague(structure: Structure) -> Prediction:
        asked.append(structure)
        return prediction_of(0.0, np.zeros((4, 3)), energy_std=1e3)

    velocities = np.zeros((4, 3))
    velocities[0, 0], velocities[1, 0] = 22.0, -22.0
    at_rest = prediction_of(0.0, np.zeros((4, 3)))
    checkpoint = replace(
        begin("verlet"),
        velocities=velocities,
        forcing=Forcing(begin().structure.positions, 0.0, at_rest.forces),
    )
    segment = drive(vague, checkpoint, dynamics=DYNAMICS["verlet"])
    assert segment.trip is not None and segment.trip.guard is GuardKind.DISTANCE
    assert segment.trip.atoms in [(0, 1), (1, 0)] and not asked and segment.frame is None
    assert segment.trip.limit == pytest.approx(0.5 * 2 * 1.06)


def test_distance_counts_images() -> None:
    cell, inside = np.diag([20.0, 20.0, 20.0]), np.array([[0.2, 1.0, 1.0], [19.9, 1.0, 1.0]])
    limits = Limits.of(Guards(), LANGEVIN, 2)
    apart = Structure(np.array([8, 8]), inside)
    assert limits.positions(apart).share == 0.0
    with pytest.raises(ExplodedError) as stop:
        limits.positions(replace(apart, cell=cell, pbc=np.ones(3, dtype=bool)))
    assert stop.value.strain.value == pytest.approx(0.3)


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
def test_close_pairs_are_those_of_a_neighbour_list(pbc: tuple[bool, ...]) -> None:
    rng = np.random.default_rng(5)
    cell = np.array([[4.0, 0.1, 0.0], [1.0, 3.0, 0.0], [-0.6, 0.4, 5.0]])
    positions = rng.uniform(-6.0, 12.0, (12, 3))
    structure = Structure(np.full(12, 18), positions, cell, np.array(pbc))
    pairs, lengths = close_pairs(structure, 3.5)
    first, second, expected = neighbor_list("ijd", structure.to_atoms(), 3.5)
    found = {(*sorted(pair), round(d, 6)) for pair, d in zip(pairs.tolist(), lengths, strict=True)}
    assert found == {
        (*sorted((int(i), int(j))), round(d, 6))
        for i, j, d in zip(first, second, expected, strict=True)
    }


@pytest.mark.parametrize("structure", [WATER, copper()])
def test_healthy_structures_are_calm(structure: Structure) -> None:
    assert Limits.of(Guards(), LANGEVIN, len(structure)).positions(structure).share < 0.6


def test_a_reference_that_drives_a_step_is_not_guarded() -> None:
    stopped = drive(wells, limit=-1.0)
    assert stopped.frame is not None
    label = Forcing(stopped.frame.positions, 0.0, np.full((4, 3), 40.0))
    assert drive(wells, stopped.checkpoint, n_steps=1, substitute=label).outcome is Outcome.FINISHED


@pytest.mark.parametrize("n_atoms", [2, 3, 9, 100, 10_000])
def test_default_temperature_allows_for_few_atoms(n_atoms: int) -> None:
    limit = default_temperature(LANGEVIN, n_atoms)
    freedom = 3 * n_atoms - 3
    assert limit >= 1500.0
    # Even a thermostat five times too hot would not reach it once in 10^11 steps.
    assert chi2.sf(limit / 1500.0 * freedom, freedom) < 1e-11
    assert default_temperature(replace(LANGEVIN, temperature_schedule=((0.0, 10.0),)), 100) > 1000


def test_evidence_is_kept_for_people(tmp_path: Path) -> None:
    segment = drive(pushed(after=8, force=80.0))
    keep_evidence(segment, tmp_path / "evidence", 1.0)
    frames = read(tmp_path / "evidence/frames.extxyz", index=":")
    assert [each.info["step"] for each in frames] == list(range(1, 9))
    np.testing.assert_allclose(frames[-1].positions, segment.trip.structure.positions, atol=1e-7)
    report = json.loads((tmp_path / "evidence/guard.json").read_text())
    assert (report["guard"], report["atoms"], report["step"]) == ("force", [2], 8)
    assert report["message"] == describe(segment.trip, 1.0)
    assert report["message"].startswith("the force on atom 2 (Ar) is ")


@pytest.mark.parametrize("guard", list(GuardKind))
def test_every_guard_has_its_words(guard: GuardKind) -> None:
    trip = Trip(guard, 12, 0.3, 0.48, (0, 1, 2), WATER, (3,))
    assert describe(trip, 0.5).endswith(" at step 12 (6 fs)")
