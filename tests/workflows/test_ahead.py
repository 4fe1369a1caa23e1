"""MD that goes ahead of labels and updates: nothing wrong is kept, nothing right is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from canned import Answers, Store, first_state, plan, through_codec

from bnnflow.records import (
    Driven,
    EnsembleRef,
    Labelled,
    LabelRequest,
    LoopState,
    Phase,
    PropagateRequest,
    SampleRequest,
    Segment,
    Updated,
)
from executors.base import Pool
from workflows.ahead import _tighter, _trusted
from workflows.driver import Walker, drive
from workflows.otf import fine_tune
from workflows.plan import Plan
from workflows.requests import propagate_request
from workflows.simulation import SimulatedPools

STRETCH_S = 1.0


def length(label_s: float, update_s: float) -> Callable[[Pool, Any], float]:
    def seconds(_pool: Pool, request: Any) -> float:
        if isinstance(request, LabelRequest):
            return label_s
        return update_s if isinstance(request, SampleRequest) else STRETCH_S

    return seconds


def run(
    made: Plan, answers: Callable[[Any], Any], *, label_s: float, update_s: float
) -> tuple[Store, SimulatedPools]:
    store = Store()
    pools = SimulatedPools(
        dict.fromkeys(Pool, 4), seconds=length(label_s, update_s), answer=answers
    )
    loop = fine_tune(first_state(), made)
    walker = Walker("w", loop, store, on_commit=lambda commit: None)  # type: ignore[arg-type]
    drive([walker], pools, inbox=pools)
    return store, pools


def steps(store: Store) -> list[int]:
    return [int(step) for event in store.events(Driven) for step in event.segment.steps]


LONG = {"n_steps": 40, "segment_steps": 4, "threshold": 100.0}
"""An error of the canned model grows with the step: K decides whether it is too large."""


def test_md_goes_on_while_a_label_within_k_is_made() -> None:
    answers = Answers(uncertain=[3])
    waited, slow = run(plan(**LONG), answers, label_s=5.0, update_s=10.0)
    store, pools = run(plan(**LONG, while_labelling="rewind"), answers, label_s=5.0, update_s=10.0)
    assert steps(store) == steps(waited) == list(range(1, 41))
    assert len(store.events(Labelled)) == len(waited.events(Labelled)) == 2
    before_update = store.commits.index(
        next(
            c
            for c in store.commits
            if any(type(e) is Updated and e.ensemble.version == 2 for e in c.events)
        )
    )
    assert store.commits[before_update].state.checkpoint.step == 40
    assert store.commits[-1].state.phase is Phase.DONE
    assert pools.now() < slow.now() - 5.0


def test_a_label_beyond_k_takes_md_back_to_the_frame() -> None:
    """The same states, event by event, as the loop that waits."""
    answers = Answers(uncertain=[3])
    narrow = {**LONG, "threshold": 1e-3}
    waited, _ = run(plan(**narrow), answers, label_s=5.0, update_s=10.0)
    store, _ = run(plan(**narrow, while_labelling="rewind"), answers, label_s=5.0, update_s=10.0)
    error = store.events(Labelled)[1].error
    assert abs(error) > 1e-3
    assert [commit.state.phase for commit in store.commits] == [
        commit.state.phase for commit in waited.commits
    ]
    for ours, theirs in zip(store.events(Driven), waited.events(Driven), strict=True):
        np.testing.assert_array_equal(ours.segment.positions, theirs.segment.positions)
        assert ours.ensemble_version == theirs.ensemble_version
    after = next(
        c.state for c in store.commits if c.state.phase is Phase.UPDATE and c.state.labels[1:]
    )
    assert not after.ahead and after.checkpoint.step == 2
    np.testing.assert_array_equal(after.substitute.forces, store.events(Labelled)[1].label.forces)


def test_stretches_that_the_new_calibration_does_not_trust_are_forgotten() -> None:
    """The third stretch has sigmas that pass before the label and do not after it."""
    base = Answers(uncertain=[3])

    def answers(request: Any) -> Any:
        answer = base(request)
        if isinstance(request, PropagateRequest) and isinstance(answer, Segment):
            std = np.where(answer.steps > 10, 0.999 * request.limit, 0.01)
            sure = answer.prediction and replace(answer.prediction, energy_std=0.12)
            return replace(answer, energy_std=std, prediction=sure)
        return answer

    # At step 3 the canned error is 0.6 eV, five times what was predicted: the limit falls.
    store, _ = run(
        plan(**{**LONG, "threshold": 0.7}, while_labelling="rewind"),
        answers,
        label_s=4.5,
        update_s=1.0,
    )
    labelled = store.events(Labelled)[1]
    assert 0.5 < abs(labelled.error) < 0.7
    commit = next(c for c in store.commits if labelled in c.events)
    kept = [event.segment.steps for event in commit.events if type(event) is Driven]
    assert [list(each) for each in kept] == [[3, 4, 5, 6], [7, 8, 9, 10]]
    assert commit.state.checkpoint.step == 10 and commit.state.ahead
    assert steps(store) == list(range(1, 41))


def test_an_untrusted_frame_ends_the_going_ahead_and_is_asked_again() -> None:
    answers = Answers(uncertain=[3, 9])
    store, _ = run(plan(**LONG, while_labelling="rewind"), answers, label_s=5.0, update_s=10.0)
    steps_of_labels = [event.step for event in store.events(Labelled)]
    assert steps_of_labels == [0, 3, 9] and steps(store) == list(range(1, 41))


def test_a_kill_in_mid_update_goes_on_from_the_commit() -> None:
    """What went ahead of the update is taken anew; the state says that it may be."""
    answers = Answers(uncertain=[3])
    made = plan(**LONG, while_labelling="rewind")
    store, _ = run(made, answers, label_s=5.0, update_s=2.0)
    states: list[LoopState] = [commit.state for commit in store.commits]
    killed = next(state for state in states if state.ahead)
    again = Store()
    pools = SimulatedPools(dict.fromkeys(Pool, 4), seconds=length(5.0, 2.0), answer=answers)
    loop = fine_tune(through_codec(killed), made)
    drive([Walker("w", loop, again, on_commit=lambda commit: None)], pools, inbox=pools)  # type: ignore[arg-type]
    rest = [int(step) for event in again.events(Driven) for step in event.segment.steps]
    assert rest == list(range(killed.checkpoint.step + 1, 41))


def test_a_label_that_fails_takes_md_back_too() -> None:
    answers = Answers(uncertain=[3], bad_labels=["0001"])
    store, _ = run(plan(**LONG, while_labelling="rewind"), answers, label_s=5.0, update_s=2.0)
    assert steps(store) == list(range(1, 41))
    assert len(store.events(Labelled)) == 1


def test_forces_of_atoms_without_a_limit_hide_no_other() -> None:
    """The limit of the one atom that has one falls to a fifth: a force at 0.9 of it is too much."""
    before, now = np.array([0.1, np.inf, np.inf]), np.array([0.02, np.inf, np.inf])
    assert _tighter(before, now) == pytest.approx(0.2)
    assert _tighter(before, before) == 1.0 and _tighter(None, None) == 1.0
    stretch = Answers().propagate(request(6))
    ratios = [np.full(6, value) for value in (0.9, 0.15, np.nan)]
    trusted = [_trusted(replace(stretch, force_ratio=ratio), 1.0, 0.2) for ratio in ratios]
    assert trusted == [False, True, False]


def request(n_steps: int) -> PropagateRequest:
    state = first_state()
    ensemble = EnsembleRef("/run/ensemble/v0001", 1, 4)
    return propagate_request(replace(state, ensemble=ensemble), plan(), n_steps, 1.0)
