"""Stops for audits and for forces: at exactly that step, and nothing before it changes."""

from dataclasses import replace

import numpy as np
import pytest
from md_toys import (
    DYNAMICS,
    SYSTEMS,
    DoubtAt,
    assert_same_checkpoint,
    label_of,
    wells,
)

from bnnflow.md import propagate, start
from bnnflow.records import Checkpoint, Outcome, Prediction, Segment, Structure

KINDS = sorted(SYSTEMS)
N_ATOMS = 4
STD = np.sqrt(3) * 0.1
"""Std of the force error's length that the toys predict for every atom, eV/Å."""


def begin(kind: str) -> Checkpoint:
    return start(SYSTEMS[kind][0](), dynamics=DYNAMICS[kind], seed=7)


def drive(kind: str, checkpoint: Checkpoint, n_steps: int, **options: object) -> Segment:
    """Drive with the toy of this kind, or with `predict`."""
    values = {"predict": SYSTEMS[kind][1], "limit": 0.05} | options
    return propagate(checkpoint=checkpoint, dynamics=DYNAMICS[kind], n_steps=n_steps, **values)


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_stops_before_its_step_and_changes_nothing_up_to_it(kind: str) -> None:
    stopped = drive(kind, begin(kind), 20, audit_every_steps=7)
    assert stopped.outcome is Outcome.AUDIT
    assert stopped.checkpoint.step == 6
    plain = drive(kind, begin(kind), 7)
    assert_same_checkpoint(stopped.checkpoint, drive(kind, begin(kind), 6).checkpoint)
    np.testing.assert_array_equal(stopped.positions, plain.positions[:6])
    assert stopped.frame is not None and stopped.prediction is not None
    np.testing.assert_array_equal(stopped.frame.positions, plain.positions[6])
    assert stopped.prediction.energy == plain.energy[6]


@pytest.mark.parametrize("kind", KINDS)
def test_audits_answered_by_the_ensemble_leave_the_trajectory_as_it_was(kind: str) -> None:
    """Each audited step is redone with what the ensemble itself says of it."""
    checkpoint, positions, audited, substitute = begin(kind), [], [], None
    while checkpoint.step < 20:
        segment = drive(
            kind,
            checkpoint,
            20 - checkpoint.step,
            audit_every_steps=5,
            substitute=substitute,
        )
        positions.extend(segment.positions)
        checkpoint, substitute = segment.checkpoint, None
        if segment.outcome is Outcome.AUDIT:
            audited.append(checkpoint.step + 1)
            said = label_of(segment.frame, SYSTEMS[kind][1])
            prediction = segment.prediction
            substitute = replace(said, energy=prediction.energy, forces=prediction.forces)
    assert audited == [5, 10, 15, 20]
    whole = drive(kind, begin(kind), 20)
    np.testing.assert_array_equal(positions, whole.positions)
    assert_same_checkpoint(checkpoint, whole.checkpoint)


def test_an_untrusted_frame_at_the_step_of_an_audit_is_no_audit() -> None:
    doubt = DoubtAt(wells, call=6, energy_std=0.2)
    stopped = drive("verlet", begin("verlet"), 20, predict=doubt, audit_every_steps=5)
    assert (stopped.outcome, stopped.checkpoint.step) == (Outcome.UNCERTAIN, 4)


def test_a_segment_that_ends_at_the_step_of_an_audit_does_not_skip_it() -> None:
    done = drive("verlet", begin("verlet"), 4, audit_every_steps=5)
    assert done.outcome is Outcome.FINISHED
    stopped = drive("verlet", done.checkpoint, 4, audit_every_steps=5)
    assert (stopped.outcome, stopped.checkpoint.step) == (Outcome.AUDIT, 4)


class Vague:
    """The wells, but from its n-th call on one atom's force is uncertain."""

    def __init__(self, call: int, atom: int, factor: float) -> None:
        self.call, self.atom, self.factor, self.seen = call, atom, factor, 0

    def __call__(self, structure: Structure) -> Prediction:
        self.seen += 1
        answer = wells(structure)
        std = answer.forces_std.copy()
        if self.seen >= self.call:
            std[self.atom] *= self.factor
        return replace(answer, forces_std=std)


def test_a_force_beyond_its_limit_stops_the_step() -> None:
    limits = np.array([2.0, np.inf, 4.0, 3.0]) * STD
    stopped = drive(
        "langevin", begin("langevin"), 20, predict=Vague(5, 2, 4.1), force_limits=limits
    )
    assert (stopped.outcome, stopped.checkpoint.step) == (Outcome.UNCERTAIN, 3)
    np.testing.assert_allclose(stopped.force_ratio, 0.5)
    plain = drive("langevin", begin("langevin"), 3)
    assert_same_checkpoint(stopped.checkpoint, plain.checkpoint)
    assert plain.force_ratio is None


@pytest.mark.parametrize(("atom", "factor"), [(2, 3.9), (1, 1e9)])
def test_forces_within_their_limits_and_without_any_are_trusted(atom: int, factor: float) -> None:
    limits = np.array([2.0, np.inf, 4.0, 3.0]) * STD
    done = drive(
        "langevin", begin("langevin"), 9, predict=Vague(5, atom, factor), force_limits=limits
    )
    assert done.outcome is Outcome.FINISHED
    assert done.force_ratio.shape == (9,)
    np.testing.assert_allclose(done.force_ratio[3:], max(0.5, factor / 4 if atom == 2 else 0.0))


def test_a_force_limit_that_is_not_a_number_asks() -> None:
    limits = np.array([1.0, np.nan, 1.0, 1.0])
    stopped = drive("langevin", begin("langevin"), 5, force_limits=limits)
    assert stopped.outcome is Outcome.UNCERTAIN


def test_a_labelled_step_has_no_force_ratio() -> None:
    limits = np.full(N_ATOMS, 2 * STD)
    stopped = drive("verlet", begin("verlet"), 9, audit_every_steps=3, force_limits=limits)
    label = label_of(stopped.frame, wells)
    redone = drive(
        "verlet",
        stopped.checkpoint,
        3,
        substitute=label,
        audit_every_steps=3,
        force_limits=limits,
    )
    assert redone.outcome is Outcome.FINISHED and redone.checkpoint.step == 5
    assert np.isnan(redone.force_ratio).tolist() == [True, False, False]
