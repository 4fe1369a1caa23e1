"""The loop with audits, a moving average and a force criterion, fed with canned records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from canned import (
    N_ATOMS,
    RNG,
    Answers,
    first_state,
    forces,
    of_kind,
    plan,
    play,
    prediction,
    structure,
    through_codec,
)
from run_building import same

from bnnflow.records import (
    Asked,
    Calibration,
    Commit,
    Driven,
    Estimates,
    Failed,
    ForceRegion,
    Labelled,
    LoopState,
    Phase,
    PropagateRequest,
    Reason,
    SampleRequest,
)
from bnnflow.uncertainty import (
    energy_calibration,
    force_limits,
    largest_trusted_std,
    probability_within,
    update,
    update_forces,
)
from workflows.otf import fine_tune

PRIOR = Calibration(1.5, 10.0)
K = 3.0
"""With this the canned audits are trusted, and frames that are not, are not."""
REGIONS = (ForceRegion("oxygen", (0,), 30.0), ForceRegion("rest", (1, 2), 50.0))


def begun(*, audits: bool = True, regions: tuple[ForceRegion, ...] = ()) -> LoopState:
    """The first state of a run with these options."""
    each = (PRIOR,) * len(regions)
    estimates = Estimates(PRIOR, each, each) if audits else Estimates(None, each)
    return replace(first_state(), estimates=estimates)


def run(answers: Answers, state: LoopState, **changes: Any) -> list[Any]:
    return play(fine_tune(state, plan(**({"threshold": K} | changes))), answers)


def audited(**changes: Any) -> list[Any]:
    """Six steps with an audit at every second one, and step 3 not trusted."""
    return run(Answers(uncertain=[3]), begun(), audit_every_steps=2, **changes)


def test_audits_are_labelled_at_their_steps_beside_requested_frames() -> None:
    yielded = audited()
    labels = of_kind(yielded, Labelled)
    assert [(each.step, each.reason) for each in labels] == [
        (0, Reason.FIRST_FRAME),
        (2, Reason.AUDIT),
        (3, Reason.UNCERTAIN),
        (4, Reason.AUDIT),
        (6, Reason.AUDIT),
    ]
    decisions = [each.decision for each in of_kind(yielded, Asked)]
    assert [each.reason for each in decisions] == [each.reason for each in labels]
    assert all(each.ask for each in decisions)
    taken = [step for each in of_kind(yielded, Driven) for step in each.segment.steps]
    assert taken == [1, 2, 3, 4, 5, 6]
    assert yielded[-1].state.phase is Phase.DONE


def test_audits_enter_the_data_set_and_move_the_chains() -> None:
    requests = of_kind(audited(chains_per_task=4), SampleRequest)
    assert [len(each.labels) for each in requests] == [1, 2, 3, 4, 5]


def test_the_two_estimates_are_never_mixed() -> None:
    labels = of_kind(audited(), Labelled)
    requested, audit = PRIOR, PRIOR
    for label in labels[1:]:
        error, std = label.error, label.prediction.energy_std
        if label.reason is Reason.AUDIT:
            audit = update(audit, error=error, std=std)
        else:
            requested = update(requested, error=error, std=std)
        assert (label.calibration, label.estimates.audit) == (requested, audit)
    assert (requested.count, audit.count) == (1, 3)


@pytest.mark.parametrize("use", ["requested", "audit", "both"])
def test_the_rule_uses_the_estimate_asked_for(use: str) -> None:
    yielded = audited(calibration_use=use)
    after = [PRIOR] + [
        energy_calibration(each.calibration, each.estimates.audit, use)
        for each in of_kind(yielded, Labelled)[1:]
    ]
    limits = [largest_trusted_std(each, threshold=K, confidence=0.95) for each in after]
    assert [each.limit for each in of_kind(yielded, PropagateRequest)] == limits
    driven = of_kind(yielded, Driven)
    for event, calibration in zip(driven, after, strict=True):
        expected = probability_within(calibration, std=event.segment.energy_std, threshold=K)
        np.testing.assert_array_equal(event.probability, expected)
    asked = [each.decision for each in of_kind(yielded, Asked)[1:]]
    assert [each.limit for each in asked] == limits[:-1]


def test_an_audit_without_label_is_passed_on_the_ensemble_and_not_tried_again() -> None:
    answers = Answers(bad_labels=["0001"])
    yielded = run(answers, begun(), audit_every_steps=2)
    (failed,) = of_kind(yielded, Failed)
    assert failed.action == "frame dropped, step taken on the ensemble"
    again = of_kind(yielded, PropagateRequest)[1]
    said = prediction(structure(2), 1)
    np.testing.assert_array_equal(again.substitute.forces, said.forces)
    assert again.checkpoint.rng == RNG
    assert [each.step for each in of_kind(yielded, Labelled)] == [0, 4, 6]


def test_a_moving_average_forgets_in_the_loop() -> None:
    state = begun(audits=False)
    state = replace(state, calibration=replace(PRIOR, decay=0.5))
    labels = of_kind(run(Answers(uncertain=[1, 3, 5]), state), Labelled)
    assert [each.calibration.count for each in labels] == [0, 1, 1.5, 1.75]


def test_limits_of_forces_follow_the_labels_of_their_region() -> None:
    state = begun(audits=False, regions=REGIONS)
    yielded = run(Answers(uncertain=[3]), state, force_regions=REGIONS)
    label = of_kind(yielded, Labelled)[1]
    errors = label.prediction.forces - forces(structure(3), 1.0)
    stds = label.prediction.forces_std
    learnt = tuple(
        update_forces(PRIOR, errors=errors[atoms], forces_std=stds[atoms])
        for atoms in ([0], [1, 2])
    )
    assert label.estimates == Estimates(None, learnt)
    first, second = of_kind(yielded, PropagateRequest)
    for request, known in ((first, (PRIOR, PRIOR)), (second, learnt)):
        expected = force_limits(REGIONS, known, n_atoms=N_ATOMS, confidence=0.95)
        np.testing.assert_array_equal(request.force_limits, expected)


@pytest.mark.parametrize(
    ("limit", "reason"), [(1e-3, Reason.UNCERTAIN_FORCES), (1e3, Reason.AUDIT)]
)
def test_decisions_name_the_reason_and_the_worst_atom(limit: float, reason: Reason) -> None:
    """The canned ensemble is sure of energies: K is wide; the clock stops MD at step 2."""
    regions = (ForceRegion("one", (1,), limit), ForceRegion("other", (0, 2), 2e3))
    yielded = run(
        Answers(), begun(regions=regions), audit_every_steps=2, force_regions=regions, threshold=1e3
    )
    asked = of_kind(yielded, Asked)[1].decision
    assert (asked.step, asked.reason, asked.force.atom) == (2, reason, 1)
    assert asked.force.std == pytest.approx(np.sqrt(0.03))
    learned = of_kind(yielded, Labelled)[1]
    counts = [each.count for each in learned.estimates.forces]
    audits = [each.count for each in learned.estimates.audit_forces]
    expected = ([0, 0], [1, 1]) if reason is Reason.AUDIT else ([1, 1], [0, 0])
    assert (counts, audits) == expected


@pytest.mark.parametrize("use", ["requested", "both"])
def test_every_commit_can_be_gone_on_from(use: str) -> None:
    settings = {
        "audit_every_steps": 2,
        "calibration_use": use,
        "force_regions": REGIONS,
        "threshold": K,
    }
    answers = Answers(uncertain=[1, 3], bad_labels=["0002"])
    state = begun(regions=REGIONS)
    state = replace(state, calibration=replace(PRIOR, decay=0.9))
    yielded = run(answers, state, **settings)
    for index, item in enumerate(yielded):
        if isinstance(item, Commit):
            again = fine_tune(through_codec(item.state), plan(**settings))
            assert same(tuple(play(again, answers)), tuple(yielded[index + 1 :]))
