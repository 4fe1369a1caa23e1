"""MD that a guard stopped, in the loop: what is taken back, asked for instead, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from canned import (
    RNG,
    Answers,
    first_state,
    of_kind,
    plan,
    play,
    prediction,
    structure,
    through_codec,
)
from run_building import same

from bnnflow.errors import TaskError
from bnnflow.records import (
    Asked,
    Commit,
    Driven,
    Failed,
    FailureCause,
    GuardKind,
    Guards,
    Labelled,
    LabelRequest,
    Outcome,
    Phase,
    PropagateRequest,
    Reason,
    SampleRequest,
    Segment,
    Trip,
    Updated,
)
from workflows.otf import fine_tune

FORCE = GuardKind.FORCE


class Exploding(Answers):
    """The ensembles of some versions are stopped by a guard on the way to step 4.

    calm: whether there was a frame worth a label on the way.
    """

    def __init__(
        self,
        versions: Sequence[int],
        guard: GuardKind = FORCE,
        members: tuple[int, ...] = (),
        *,
        calm: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.versions, self.guard, self.members, self.calm = versions, guard, members, calm

    def propagate(self, request: PropagateRequest) -> Segment:
        segment = super().propagate(request)
        version = request.ensemble.version
        if version not in self.versions or segment.checkpoint.step < 4:
            return segment
        trip = Trip(self.guard, 4, 80.0, 50.0, (1,), structure(4), self.members)
        frame = structure(2) if self.calm else None
        said = prediction(structure(2), version) if self.calm else None
        return replace(segment, outcome=Outcome.GUARDED, trip=trip, frame=frame, prediction=said)


def run(answers: Answers, **changes: Any) -> list[Any]:
    return play(fine_tune(first_state(), plan(**changes)), answers)


def with_kind(kind: str, **changes: Any) -> Any:
    settings = plan(**changes)
    return replace(settings, dynamics=replace(settings.dynamics, kind=kind))


def test_the_last_calm_frame_is_labelled_and_md_goes_on_from_the_last_commit() -> None:
    yielded = run(Exploding([1]))
    first, second = of_kind(yielded, LabelRequest)
    assert same((first.structure, second.structure), (structure(0), structure(2)))
    started, again = of_kind(yielded, PropagateRequest)[:2]
    assert (started.checkpoint.step, again.checkpoint.step) == (0, 0)
    stream = np.random.PCG64()
    stream.state = RNG
    assert started.checkpoint.rng == RNG and again.checkpoint.rng == stream.jumped().state
    assert again.substitute is None  # its label is of another stretch
    assert yielded[-1].state.phase is Phase.DONE
    assert (yielded[-1].state.n_astray, yielded[-1].state.rewound) == (1, False)


def test_no_step_of_the_stretch_is_kept() -> None:
    steps = [event.segment.steps.tolist() for event in of_kind(run(Exploding([1])), Driven)]
    assert steps == [[1, 2, 3, 4], [5, 6]]


def test_a_failure_with_its_evidence_and_the_decision_are_on_record() -> None:
    yielded = run(Exploding([1]))
    (failed,) = of_kind(yielded, Failed)
    assert failed.failure.task == "propagate" and failed.failure.cause is FailureCause.EXPLODED
    assert failed.failure.directory == "/run/evidence/0000"
    assert failed.failure.message.startswith("the force on atom 1 (H) is 80.0 eV/Å, expected at")
    assert failed.action == "rewound to step 0, the last calm frame is labelled"
    asked = of_kind(yielded, Asked)[1]
    assert asked.decision.reason is Reason.GUARD and asked.decision.ask
    assert [each.evidence for each in of_kind(yielded, PropagateRequest)] == [
        "/run/evidence/0000",
        "/run/evidence/0001",
        "/run/evidence/0001",
    ]


def test_a_frame_picked_for_being_wrong_does_not_calibrate() -> None:
    first, second = of_kind(run(Exploding([1])), Labelled)
    assert np.isfinite(second.error) and second.prediction is not None
    assert second.calibration == first.calibration


def test_its_forces_serve_no_step_of_the_new_ensemble_either() -> None:
    again = of_kind(run(Exploding([1]), continue_on="ensemble"), PropagateRequest)[1]
    assert again.substitute is None


def test_chains_that_are_not_finite_start_anew_and_the_others_go_on() -> None:
    yielded = run(Exploding([1], GuardKind.PREDICTION, members=(1, 2)))
    assert len(of_kind(yielded, LabelRequest)) == 1
    second = of_kind(yielded, SampleRequest)[2:]
    assert [each.version for each in second] == [2, 2]
    assert [(each.chains, each.fresh) for each in second] == [((0, 1), (1,)), ((2, 3), (2,))]
    assert [each.n_known for each in second] == [1, 1]  # no label is new
    (failed,) = of_kind(yielded, Failed)
    assert failed.failure.cause is FailureCause.NON_FINITE
    assert failed.action == "rewound to step 0, chains (1, 2) start anew"
    assert of_kind(yielded, PropagateRequest)[-1].checkpoint.step == 4
    assert yielded[-1].state.fresh == ()


def test_without_a_calm_frame_only_the_noise_is_new() -> None:
    class Once(Exploding):
        """With the first noise stream alone."""

        def propagate(self, request: PropagateRequest) -> Segment:
            self.versions = [1] if request.checkpoint.rng == RNG else []
            return super().propagate(request)

    yielded = run(Once([1], calm=False))
    assert len(of_kind(yielded, LabelRequest)) == len(of_kind(yielded, Updated)) == 1
    assert of_kind(yielded, Failed)[0].action == "rewound to step 0, MD goes on with new noise"


def stopped(loop: Any, answers: Answers, match: str) -> list[Any]:
    """What a loop yielded before it ended with an error."""
    seen: list[Any] = []
    with pytest.raises(TaskError, match=match):
        play(loop, lambda request: seen.append(request) or answers(request))
    return seen


def test_without_noise_and_without_a_calm_frame_there_is_no_second_try() -> None:
    loop = fine_tune(first_state(), with_kind("verlet"))
    seen = stopped(loop, Exploding([1], calm=False), "nothing would change.*/run/evidence/0000")
    assert of_kind(seen, Failed)[0].action == "material set aside"


@pytest.mark.parametrize("kind", ["verlet", "npt"])
def test_without_noise_the_new_ensemble_makes_the_difference(kind: str) -> None:
    yielded = play(fine_tune(first_state(), with_kind(kind)), Exploding([1]))
    assert len(of_kind(yielded, LabelRequest)) == 2
    assert {str(each.checkpoint.rng) for each in of_kind(yielded, PropagateRequest)} == {str(RNG)}
    assert yielded[-1].state.phase is Phase.DONE


def test_beyond_the_budget_the_material_is_set_aside_with_its_evidence() -> None:
    always = Exploding(range(100))
    loop = fine_tune(first_state(), plan(failure_budget=2))
    match = r"80\.0 eV/Å.* at step 4 .*failure 3 of this run, budget 2\): see /run/evidence/0002"
    seen = stopped(loop, always, match)
    failed = of_kind(seen, Failed)
    assert [each.failure.directory for each in failed] == [
        f"/run/evidence/000{n}" for n in range(3)
    ]
    assert failed[-1].action == "material set aside"
    # A resumed run tries once more, and no oftener.
    last = of_kind(seen, Commit)[-1].state
    again = stopped(fine_tune(through_codec(last), plan(failure_budget=2)), always, "failure 4")
    assert len(of_kind(again, PropagateRequest)) == 1
    done = play(fine_tune(through_codec(last), plan(failure_budget=2)), Exploding([]))
    assert done[-1].state.phase is Phase.DONE


def test_labels_and_md_share_one_budget() -> None:
    answers = Exploding([1, 2], bad_labels=["0001"])
    loop = fine_tune(first_state(), plan(failure_budget=2))
    seen = stopped(loop, answers, "failure 3 of this run, budget 2")
    assert [each.failure.task for each in of_kind(seen, Failed)] == [
        "propagate",
        "label",
        "propagate",
    ]


@pytest.mark.parametrize("continue_on", ["reference", "ensemble"])
@pytest.mark.parametrize("members", [(), (0, 3)])
@pytest.mark.parametrize("bad_labels", [[], ["0001"]])
def test_every_commit_can_be_gone_on_from(
    continue_on: str, members: tuple[int, ...], bad_labels: list[str]
) -> None:
    guard = GuardKind.PREDICTION if members else FORCE
    changes = {"continue_on": continue_on, "failure_budget": 5}

    def answers() -> Exploding:
        return Exploding([1, 3], guard, members, uncertain=[3], bad_labels=bad_labels)

    yielded = run(answers(), **changes)
    assert yielded[-1].state.phase is Phase.DONE
    for index, item in enumerate(yielded):
        if isinstance(item, Commit):
            again = fine_tune(through_codec(item.state), plan(**changes))
            assert same(tuple(play(again, answers())), tuple(yielded[index + 1 :]))


def test_guards_travel_with_the_request() -> None:
    guards = Guards(temperature_K=900.0, distance=0.6, force_eV_A=20.0)
    requests = of_kind(run(Answers(), guards=guards), PropagateRequest)
    assert {each.guards for each in requests} == {guards}
