"""Frames that are not trusted: the step is not taken, then redone on the reference."""

from dataclasses import replace

import numpy as np
import pytest
from md_toys import (
    CERTAIN_STD,
    DYNAMICS,
    SYSTEMS,
    DoubtAt,
    argons,
    assert_same_checkpoint,
    label_of,
    prediction_of,
    wells,
)

from bnnflow.errors import FaultError, NonFiniteError
from bnnflow.md import propagate, start
from bnnflow.records import (
    Checkpoint,
    Forcing,
    GuardKind,
    Outcome,
    Prediction,
    Segment,
    Structure,
)

LIMIT = 0.05
KINDS = sorted(SYSTEMS)


def begin(kind: str) -> Checkpoint:
    return start(SYSTEMS[kind][0](), dynamics=DYNAMICS[kind], seed=7)


def drive(
    kind: str,
    predict: object,
    checkpoint: Checkpoint,
    n_steps: int,
    substitute: Forcing | None = None,
    limit: float = LIMIT,
) -> Segment:
    return propagate(
        predict=predict,
        checkpoint=checkpoint,
        dynamics=DYNAMICS[kind],
        n_steps=n_steps,
        limit=limit,
        substitute=substitute,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_uncertain_step_is_not_taken(kind: str) -> None:
    predict = SYSTEMS[kind][1]
    doubt = DoubtAt(predict, call=5, energy_std=0.2)  # the start, then three good steps
    stopped = drive(kind, doubt, begin(kind), 20)
    assert stopped.outcome is Outcome.UNCERTAIN
    np.testing.assert_array_equal(stopped.steps, [1, 2, 3])
    np.testing.assert_array_equal(stopped.energy_std, 3 * [CERTAIN_STD])
    assert stopped.frame is not None and stopped.prediction is not None
    assert stopped.prediction.energy_std == 0.2
    np.testing.assert_array_equal(stopped.frame.positions, doubt.seen[-1].positions)
    three = drive(kind, predict, begin(kind), 3)
    four = drive(kind, predict, begin(kind), 4)
    assert_same_checkpoint(stopped.checkpoint, three.checkpoint)
    np.testing.assert_array_equal(stopped.frame.positions, four.positions[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_labelled_step_equals_a_predictor_that_knew_the_label(kind: str) -> None:
    predict = SYSTEMS[kind][1]
    stopped = drive(kind, DoubtAt(predict, call=5, energy_std=0.2), begin(kind), 20)
    assert stopped.frame is not None
    label = label_of(stopped.frame, predict)
    calls = DoubtAt(predict, call=-1, energy_std=0.2)
    redone = drive(kind, calls, stopped.checkpoint, 10, substitute=label)
    assert len(calls.seen) == 9  # neither where it began nor the labelled step

    def knew(structure: Structure) -> Prediction:
        if np.array_equal(structure.positions, label.positions):
            return prediction_of(label.energy, label.forces, label.stress)
        return predict(structure)

    at_once = drive(kind, knew, begin(kind), 13)
    assert_same_checkpoint(redone.checkpoint, at_once.checkpoint)
    np.testing.assert_array_equal(redone.positions, at_once.positions[3:])
    np.testing.assert_array_equal(redone.energy, at_once.energy[3:])
    assert redone.energy[0] == label.energy
    np.testing.assert_array_equal(np.isnan(redone.energy_std), [True] + 9 * [False])


def test_the_label_changes_the_motion() -> None:
    stopped = drive("verlet", DoubtAt(wells, call=5, energy_std=0.2), begin("verlet"), 20)
    assert stopped.frame is not None
    label = label_of(stopped.frame, wells)
    redone = drive("verlet", wells, stopped.checkpoint, 2, substitute=label)
    unlabelled = drive("verlet", wells, begin("verlet"), 5)
    np.testing.assert_array_equal(redone.positions[0], unlabelled.positions[3])
    assert np.abs(redone.positions[1] - unlabelled.positions[4]).max() > 1e-6


def test_the_first_step_can_be_the_uncertain_one() -> None:
    stopped = drive("langevin", DoubtAt(wells, call=2, energy_std=0.2), begin("langevin"), 20)
    assert stopped.outcome is Outcome.UNCERTAIN
    assert stopped.checkpoint.step == 0 and len(stopped.steps) == 0
    assert stopped.positions.shape == (0, 4, 3)
    assert stopped.checkpoint.rng == begin("langevin").rng
    assert stopped.frame is not None
    redone = drive(
        "langevin", wells, stopped.checkpoint, 1, substitute=label_of(stopped.frame, wells)
    )
    assert redone.checkpoint.step == 1


def test_the_start_is_not_guarded() -> None:
    doubt = DoubtAt(wells, call=1, energy_std=0.2)
    assert drive("langevin", doubt, begin("langevin"), 3).outcome is Outcome.FINISHED


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_of_the_start_serves_the_start(kind: str) -> None:
    predict = SYSTEMS[kind][1]
    calls = DoubtAt(predict, call=-1, energy_std=0.2)
    label = label_of(begin(kind).structure, predict)
    segment = drive(kind, calls, begin(kind), 3, substitute=label)
    assert len(calls.seen) == 3
    assert np.all(segment.energy_std == CERTAIN_STD)
    same = drive(kind, predict, replace(begin(kind), forcing=label), 3)
    assert_same_checkpoint(segment.checkpoint, same.checkpoint)


def test_a_label_of_other_positions_is_refused() -> None:
    stopped = drive("langevin", DoubtAt(wells, call=5, energy_std=0.2), begin("langevin"), 20)
    assert stopped.frame is not None
    label = label_of(stopped.frame, wells)
    nudged = label.positions.copy()
    nudged[0, 0] = np.nextafter(nudged[0, 0], 1.0)
    with pytest.raises(FaultError, match="other positions"):
        drive("langevin", wells, stopped.checkpoint, 1, replace(label, positions=nudged))
    fewer = replace(label, positions=nudged[:3])
    with pytest.raises(FaultError, match="3 atoms against 4"):
        drive("langevin", wells, stopped.checkpoint, 1, fewer)


def test_a_label_that_is_not_a_number_is_refused() -> None:
    checkpoint = begin("langevin")
    label = label_of(checkpoint.structure, wells)
    with pytest.raises(NonFiniteError, match="converged label"):
        drive("langevin", wells, checkpoint, 1, replace(label, energy=np.nan))


@pytest.mark.parametrize("limit", [LIMIT, np.inf])
@pytest.mark.parametrize(("call", "step"), [(1, 1), (5, 4)])
def test_a_prediction_that_is_not_a_number_stops(limit: float, call: int, step: int) -> None:
    """The first evaluation is at the start: the first step cannot be taken."""
    broken = DoubtAt(wells, call=call, energy_std=np.nan)
    segment = drive("langevin", broken, begin("langevin"), 20, limit=limit)
    assert segment.outcome is Outcome.GUARDED and segment.trip is not None
    assert (segment.trip.guard, segment.trip.step) == (GuardKind.PREDICTION, step)
    assert segment.checkpoint.step == len(segment.steps) == step - 1


def test_the_trip_names_the_absolute_step() -> None:
    later = drive("langevin", wells, begin("langevin"), 10).checkpoint
    segment = drive("langevin", DoubtAt(wells, call=2, energy_std=np.inf), later, 20)
    assert segment.trip is not None and segment.trip.step == 12


def test_positions_that_are_not_numbers_never_reach_the_potential() -> None:
    checkpoint = begin("verlet")
    checkpoint = replace(checkpoint, velocities=np.full_like(checkpoint.velocities, 1e308))
    with np.errstate(all="ignore"):
        segment = drive("verlet", wells, checkpoint, 5)
    assert segment.trip is not None and segment.trip.guard is GuardKind.POSITIONS


def test_production_never_asks() -> None:
    def vague(structure: Structure) -> Prediction:
        return replace(wells(structure), energy_std=1e6)

    segment = drive("langevin", vague, begin("langevin"), 20, limit=np.inf)
    assert segment.outcome is Outcome.FINISHED and len(segment.steps) == 20
    asked = drive("langevin", vague, begin("langevin"), 20, limit=1e5)
    assert asked.outcome is Outcome.UNCERTAIN


def test_a_limit_that_is_not_a_number_asks() -> None:
    segment = drive("langevin", wells, begin("langevin"), 5, limit=np.nan)
    assert segment.outcome is Outcome.UNCERTAIN


def test_charge_and_spin_travel_with_the_walker() -> None:
    ion = replace(argons(4), charge=1, multiplicity=2)
    checkpoint = start(ion, dynamics=DYNAMICS["langevin"], seed=1)
    stopped = drive("langevin", DoubtAt(wells, call=3, energy_std=0.2), checkpoint, 5)
    for structure in (stopped.frame, stopped.checkpoint.structure):
        assert structure is not None
        assert (structure.charge, structure.multiplicity) == (1, 2)
