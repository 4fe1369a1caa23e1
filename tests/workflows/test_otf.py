"""The loop alone, fed with canned records: what it asks, when, and what it makes of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from canned import (
    RNG,
    Answers,
    failure,
    first_state,
    forces,
    model_energy,
    of_kind,
    plan,
    play,
    reference_energy,
    structure,
    through_codec,
)
from run_building import same

from bnnflow.errors import TaskError
from bnnflow.records import (
    Asked,
    Calibration,
    Commit,
    Driven,
    Failed,
    FailureCause,
    Labelled,
    LabelRequest,
    Phase,
    PredictRequest,
    PropagateRequest,
    Reason,
    SampleRequest,
    Updated,
)
from bnnflow.uncertainty import largest_trusted_std, update
from workflows.otf import fine_tune
from workflows.requests import deal

SHIFT = model_energy(structure(0), 0) - reference_energy(structure(0))


def told(item: Any) -> str:
    """A word for what the loop yielded."""
    if isinstance(item, Commit):
        return f"commit {item.state.phase}"
    if isinstance(item, tuple):
        return f"sample {len(item)}"
    return type(item).__name__.removesuffix("Request").lower()


def run(answers: Answers | None = None, **changes: Any) -> list[Any]:
    """A whole run of canned answers; uncertain at step 3 unless told otherwise."""
    return play(fine_tune(first_state(), plan(**changes)), answers or Answers(uncertain=[3]))


def test_order_is_the_papers() -> None:
    assert [told(item) for item in run()] == [
        "label",
        "predict",
        "commit update",
        "sample 2",
        "commit propagate",
        "propagate",
        "commit label",
        "label",
        "commit update",
        "sample 2",
        "commit propagate",
        "propagate",
        "commit done",
    ]


def test_continuing_on_the_ensemble_asks_it_after_the_update() -> None:
    words = [told(item) for item in run(continue_on="ensemble")]
    assert words[3:5] == ["sample 2", "predict"]
    assert words.count("predict") == 3


def test_long_runs_are_cut_into_segments() -> None:
    yielded = run(Answers(), n_steps=10)
    assert [each.n_steps for each in of_kind(yielded, PropagateRequest)] == [4, 4, 2]
    assert [each.checkpoint.step for each in of_kind(yielded, PropagateRequest)] == [0, 4, 8]


def test_every_frame_is_labelled_in_a_folder_of_its_own() -> None:
    requests = of_kind(run(), LabelRequest)
    assert [each.directory for each in requests] == ["/run/labels/0000", "/run/labels/0001"]
    assert same(tuple(each.structure for each in requests), (structure(0), structure(3)))


def test_shift_is_the_foundations_energy_minus_the_first_label() -> None:
    yielded = run()
    asked = of_kind(yielded, PredictRequest)
    assert [each.ensemble for each in asked] == [None]
    assert same(asked[0].structures, (structure(0),))
    assert {each.energy_shift for each in of_kind(yielded, SampleRequest)} == {SHIFT}


def test_shift_is_added_to_every_label_the_first_included() -> None:
    first, second = of_kind(run(), Labelled)
    assert first.shifted == first.label.energy + SHIFT
    assert first.shifted == pytest.approx(model_energy(structure(0), 0))
    assert second.shifted == reference_energy(structure(3)) + SHIFT
    assert (first.step, second.step) == (0, 3)


def test_first_frame_never_enters_the_calibration() -> None:
    first, second = of_kind(run(), Labelled)
    assert first.calibration == Calibration(1.5, 10.0)
    assert first.prediction is None and np.isnan(first.error)
    assert second.calibration.count == 1


def test_calibration_uses_the_prediction_made_before_training() -> None:
    """Version 1 drove MD to the frame; version 2 has seen its label."""
    yielded = run(continue_on="ensemble")
    second = of_kind(yielded, Labelled)[1]
    error = model_energy(structure(3), 1) - (reference_energy(structure(3)) + SHIFT)
    assert second.error == pytest.approx(error)
    assert second.prediction.energy == model_energy(structure(3), 1)
    assert second.calibration == update(Calibration(1.5, 10.0), error=second.error, std=0.5)
    assert yielded[-1].state.calibration == second.calibration


def test_limit_is_the_largest_trusted_std_of_the_calibration_so_far() -> None:
    yielded = run()
    calibrations = [
        Calibration(1.5, 10.0),
        of_kind(yielded, Labelled)[1].calibration,
    ]
    limits = [largest_trusted_std(each, threshold=1.0, confidence=0.95) for each in calibrations]
    assert [each.limit for each in of_kind(yielded, PropagateRequest)] == limits
    assert [each.limit for each in of_kind(yielded, Driven)] == limits
    assert limits[0] != limits[1]


def test_decision_is_recorded_for_the_untrusted_frame() -> None:
    first, asked = of_kind(run(), Asked)
    assert (first.decision.step, first.decision.reason) == (0, Reason.FIRST_FRAME)
    assert (asked.decision.step, asked.decision.time_fs) == (3, 1.5)
    assert asked.decision.ask and asked.decision.energy_std == 0.5


def test_labelled_step_continues_on_the_reference() -> None:
    first, second = of_kind(run(), PropagateRequest)
    for request, step in ((first, 0), (second, 3)):
        frame, substitute = structure(step), request.substitute
        assert np.array_equal(substitute.positions, frame.positions)
        assert substitute.energy == reference_energy(frame) + SHIFT
        assert np.array_equal(substitute.forces, forces(frame, 1.0))
    assert second.checkpoint.step == 2


def test_labelled_step_continues_on_the_new_ensemble() -> None:
    first, second = of_kind(run(continue_on="ensemble"), PropagateRequest)
    for request, step, version in ((first, 0, 1), (second, 3, 2)):
        frame, substitute = structure(step), request.substitute
        assert np.array_equal(substitute.positions, frame.positions)
        assert substitute.energy == model_energy(frame, version)
        assert np.array_equal(substitute.forces, forces(frame, 10.0 + version))


def test_substitute_serves_one_request_only() -> None:
    requests = of_kind(run(Answers(), n_steps=8), PropagateRequest)
    assert [each.substitute is None for each in requests] == [False, True]


def test_each_update_starts_from_the_last_ensemble_with_all_labels() -> None:
    requests = of_kind(run(chains_per_task=4), SampleRequest)
    assert [each.version for each in requests] == [1, 2]
    assert [each.previous and each.previous.version for each in requests] == [None, 1]
    assert requests[1].labels == ("/run/labels/0000", "/run/labels/0001")
    assert requests[1].directory == "/run/ensemble/v0002"
    assert requests[1].energy_std == 0.1 and requests[1].prior_std == 0.5


@pytest.mark.parametrize(
    ("per_task", "tasks"),
    [
        (1, [(0,), (1,), (2,), (3,), (4,)]),
        (2, [(0, 1), (2, 3), (4,)]),
        (5, [(0, 1, 2, 3, 4)]),
        (9, [(0, 1, 2, 3, 4)]),
    ],
)
def test_chains_are_dealt(per_task: int, tasks: list[tuple[int, ...]]) -> None:
    assert deal(5, per_task) == tasks
    yielded = run(Answers(), n_members=5, chains_per_task=per_task)
    assert [each.chains for each in of_kind(yielded, SampleRequest)] == tasks


def test_failed_label_drops_the_frame_and_goes_on_with_new_noise() -> None:
    yielded = run(Answers(uncertain=[3], bad_labels=["0001"]))
    at = [told(item) for item in yielded].index("commit label")
    dropped = yielded[at + 2]
    assert [told(item) for item in yielded[at + 1 : at + 4]] == [
        "label",
        "commit propagate",
        "propagate",
    ]
    assert isinstance(dropped.events[0], Failed)
    state = dropped.state
    assert (state.labels, state.n_requests, state.frame) == (("0000",), 2, None)
    assert state.calibration == Calibration(1.5, 10.0)
    assert state.checkpoint.step == 2
    stream = np.random.PCG64()
    stream.state = RNG
    assert state.checkpoint.rng == stream.jumped().state != RNG
    assert yielded[at + 3].substitute is None
    assert yielded[-1].state.phase is Phase.DONE


def test_label_after_a_failed_one_has_a_new_folder() -> None:
    answers = Answers(uncertain=[3], bad_labels=["0001"])
    state = run(answers)[-1].state
    again = replace(state, phase=Phase.LABEL, frame=structure(5), prediction=None)
    yielded = play(fine_tune(again, plan()), answers)
    assert yielded[0].directory == "/run/labels/0002"
    assert yielded[-1].state.labels == ("0000", "0002")


def test_too_many_failed_labels_end_the_run() -> None:
    class Always(Answers):
        """Never trusts step 3, whatever the noise."""

        def propagate(self, request: PropagateRequest) -> Any:
            fresh = replace(request.checkpoint, rng=RNG)
            return super().propagate(replace(request, checkpoint=fresh))

    answers = Always(uncertain=[3], bad_labels=["0001", "0002", "0003", "0004"])
    commits: list[Any] = []
    with pytest.raises(TaskError, match="failure 3 of this run, budget 2"):
        play(
            fine_tune(first_state(), plan(failure_budget=2)),
            lambda request: commits.append(request) or answers(request),
        )
    actions = [event.action for event in of_kind(commits, Failed)]
    assert actions == ["frame dropped, MD goes on with new noise"] * 2 + ["run stopped"]
    # The last failure is on record, and a resumed run asks for the third label again.
    assert of_kind(commits, Commit)[-1].state.n_requests == 3


@pytest.mark.parametrize("kind", ["verlet", "npt"])
def test_without_noise_a_frame_without_label_is_passed_on_the_ensemble(kind: str) -> None:
    answers = Answers(uncertain=[3], bad_labels=["0001"])
    settings = plan(failure_budget=2)
    settings = replace(settings, dynamics=replace(settings.dynamics, kind=kind))
    yielded: list[Any] = []
    play(fine_tune(first_state(), settings), lambda r: yielded.append(r) or answers(r))
    (failed,) = of_kind(yielded, Failed)
    assert failed.action == "frame dropped, step taken on the ensemble"
    after = of_kind(yielded, PropagateRequest)[-1]
    assert np.array_equal(after.substitute.positions, structure(3).positions)


@pytest.mark.parametrize(
    ("equilibration_fs", "action"),
    [
        (10.0, "frame dropped, MD goes on with new noise"),
        (1.0, "frame dropped, step taken on the ensemble"),
    ],
)
def test_a_frame_without_label_is_passed_as_its_stage_can(
    equilibration_fs: float, action: str
) -> None:
    """Step 3 follows two steps of 0.5 fs or 1 fs: while equilibrating there is noise to change."""
    settings = plan(failure_budget=2)
    dynamics = replace(settings.dynamics, kind="verlet", equilibration_fs=equilibration_fs)
    yielded: list[Any] = []
    answers = Answers(uncertain=[3], bad_labels=["0001"])
    play(
        fine_tune(first_state(), replace(settings, dynamics=dynamics)),
        lambda r: yielded.append(r) or answers(r),
    )
    assert of_kind(yielded, Failed)[0].action == action


def test_failed_first_label_ends_the_run() -> None:
    with pytest.raises(TaskError, match="the first frame has no label"):
        run(Answers(bad_labels=["0000"]))


def test_diverged_chains_run_again_at_half_the_step() -> None:
    yielded = run(Answers(bad_chains=[FailureCause.NON_FINITE]))
    first, second, again = of_kind(yielded, SampleRequest)
    assert again.chains == first.chains != second.chains
    assert again.schedule.step_size == first.schedule.step_size / 2
    assert same(replace(again, schedule=first.schedule), first)
    assert [told(item) for item in yielded[3:6]] == ["sample 2", "sample 1", "commit propagate"]


def test_crashed_chains_run_again_as_they_were() -> None:
    first, _, again = of_kind(run(Answers(bad_chains=[FailureCause.CRASHED])), SampleRequest)
    assert same(again, first)


def test_update_waits_for_every_chain_and_tells_of_failures() -> None:
    yielded = run(Answers(bad_chains=[FailureCause.CRASHED]))
    (updated,) = of_kind(yielded, Updated)
    assert [result.chains for result in updated.results] == [(0, 1), (2, 3)]
    assert updated.ensemble.n_members == 4
    assert [each.failure.cause for each in of_kind(yielded, Failed)] == [FailureCause.CRASHED]


def test_too_many_failed_chains_end_the_run() -> None:
    run(Answers(bad_chains=[FailureCause.NON_FINITE] * 2), failure_budget=2)
    with pytest.raises(TaskError, match="sampling failed 3 times"):
        run(Answers(bad_chains=[FailureCause.NON_FINITE] * 3), failure_budget=2)


@pytest.mark.parametrize("kind", [PropagateRequest, PredictRequest])
def test_failed_md_or_prediction_ends_the_run(kind: type) -> None:
    answers = Answers()
    with pytest.raises(TaskError, match="it went wrong"):
        play(
            fine_tune(first_state(), plan()),
            lambda each: failure("md") if isinstance(each, kind) else answers(each),
        )


@pytest.mark.parametrize("continue_on", ["reference", "ensemble"])
@pytest.mark.parametrize("bad_labels", [[], ["0001"]])
def test_every_commit_can_be_gone_on_from(continue_on: str, bad_labels: list[str]) -> None:
    """A new loop from any committed state, read back from disk, asks what the old one asked."""
    answers = Answers(uncertain=[1, 3, 4], bad_labels=bad_labels)
    yielded = run(answers, continue_on=continue_on)
    for index, item in enumerate(yielded):
        if isinstance(item, Commit):
            again = fine_tune(through_codec(item.state), plan(continue_on=continue_on))
            assert same(tuple(play(again, answers)), tuple(yielded[index + 1 :]))


def test_run_that_is_done_asks_for_nothing() -> None:
    state = run()[-1].state
    loop = fine_tune(state, plan())
    with pytest.raises(StopIteration) as ended:
        next(loop)
    assert ended.value.value is state
