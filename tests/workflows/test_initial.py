"""Initial data in the loop: made, chosen, labelled at once, committed one by one, learnt from in
one update; and nothing of it in the calibration or the rate of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from canned import (
    Answers,
    Store,
    failure,
    first_state,
    plan,
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
    Explored,
    ExploreRequest,
    Failed,
    FailureCause,
    Initial,
    Labelled,
    LabelRequest,
    LoopState,
    Phase,
    PropagateRequest,
    Reason,
    SampleRequest,
    Selected,
    SelectRequest,
    Source,
    SourceKind,
    Updated,
)
from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.ledger import Ledger
from workflows.otf import fine_tune
from workflows.plan import Plan
from workflows.progress import Progress
from workflows.simulation import SimulatedPools

HOT = Source(SourceKind.MD, 3, seed=1, kelvin=600.0, n_steps=30)
RATTLED = Source(SourceKind.RATTLED, 2, seed=2, rattle=0.1)
WANTED = Initial(4, "farthest", (HOT, RATTLED))
CHOSEN = (4, 0, 2, 1)
FRAMES = [101, 102, 103, 201, 202]
"""Steps that the canned frames stand for, of the first source and of the second."""


class Canned(Answers):
    """Every source makes its frames, of which CHOSEN are selected.

    bad_sources: kinds that fail; guarded: that make no frame; unselectable: whether choosing fails.
    """

    def __init__(
        self,
        *,
        bad_sources: tuple[SourceKind, ...] = (),
        guarded: tuple[SourceKind, ...] = (),
        unselectable: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.bad_sources, self.guarded, self.unselectable = bad_sources, guarded, unselectable
        self.by_kind = {
            **self.by_kind,
            ExploreRequest: self.explore,
            SelectRequest: self.select,
        }

    def explore(self, request: ExploreRequest) -> Any:
        kind = request.source.kind
        if kind in self.bad_sources:
            return failure("explore")
        if kind in self.guarded:
            return Explored((), request.source.n_frames, "the force guard forbids it")
        first = 101 if kind is SourceKind.MD else 201
        return Explored(tuple(structure(first + n) for n in range(request.source.n_frames)))

    def select(self, request: SelectRequest) -> Any:
        if self.unselectable:
            return failure("select", FailureCause.NON_FINITE)
        return Selected(tuple(n for n in CHOSEN if n < len(request.candidates)))


Seconds = Callable[[Pool, Any], float]


def one_second(_pool: Pool, _request: Any) -> float:
    return 1.0


class Played:
    """A run on a simulated clock: its commits, its requests, and when each was answered."""

    def __init__(
        self,
        answers: Answers,
        *,
        state: LoopState | None = None,
        seconds: Seconds = one_second,
        workers: int = 8,
        hear: Callable[[Commit], None] = lambda _: None,
        **changes: Any,
    ) -> None:
        self.store, self.requests, self.ended = Store(), list[Any](), list[float]()
        self.pools = SimulatedPools(
            dict.fromkeys(Pool, workers), seconds=seconds, answer=lambda each: self._answer(each)
        )
        self._answers = answers
        settings = {"initial": WANTED, **changes}
        loop = fine_tune(state or first_state(), plan(**settings))
        walker = Walker("canned", loop, self.store, on_commit=hear)  # type: ignore[arg-type]
        drive([walker], self.pools, inbox=self.pools)

    def _answer(self, request: Any) -> Any:
        self.requests.append(request)
        self.ended.append(self.pools.now())
        return self._answers(request)

    def of(self, kind: type) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def ends(self, kind: type) -> list[float]:
        pairs = zip(self.requests, self.ended, strict=True)
        return [end for request, end in pairs if isinstance(request, kind)]

    def events(self, kind: type) -> list[Any]:
        return self.store.events(kind)

    @property
    def states(self) -> list[LoopState]:
        return [commit.state for commit in self.store.commits]


def initial_labels(played: Played) -> list[Labelled]:
    return [each for each in played.events(Labelled) if each.reason is Reason.INITIAL]


def test_the_order_is_first_label_frames_labels_and_one_update() -> None:
    played = Played(Canned())
    kinds = [type(request).__name__.removesuffix("Request") for request in played.requests]
    assert kinds == [
        *("Label", "Predict", "Explore", "Explore", "Select"),
        *["Label"] * 4,
        *("Sample", "Sample", "Propagate", "Propagate"),
    ]
    phases = [str(state.phase) for state in played.states]
    assert phases[:7] == ["explore", "initial", "initial", "initial", "initial", "update",
                          "propagate"]  # fmt: skip
    assert phases[-1] == "done"


def test_sources_are_explored_from_the_first_frame_at_once_with_their_own_dynamics() -> None:
    hot, rattled = Played(Canned()).of(ExploreRequest)
    assert (hot.source, rattled.source) == (HOT, RATTLED)
    assert same((hot.structure, rattled.structure), (structure(0), structure(0)))
    assert hot.dynamics.kind == "langevin"
    assert hot.dynamics.temperature_schedule == ((0.0, 600.0),)
    played = Played(Canned())
    ends = played.ends(ExploreRequest)
    assert ends[0] == ends[1]


def test_all_labels_are_in_flight_at_once_and_each_is_committed_as_it_comes() -> None:
    def seconds(_pool: Pool, request: Any) -> float:
        """The last of the frames is the fastest."""
        if isinstance(request, LabelRequest):
            return 10.0 - int(request.directory[-4:])
        return 1.0

    played = Played(Canned(), seconds=seconds)
    ends = played.ends(LabelRequest)
    assert np.diff(ends[1:]) == pytest.approx([1.0, 1.0, 1.0])
    names = [each.name for each in initial_labels(played)]
    assert names == ["0004", "0003", "0002", "0001"]
    sizes = [
        len([e for e in commit.events if isinstance(e, Labelled)])
        for commit in played.store.commits
    ]
    assert max(sizes) == 1
    (request, _) = played.of(SampleRequest)
    assert request.labels == tuple(f"/run/labels/{n:04d}" for n in range(5))


def test_labels_are_of_the_frames_chosen_in_folders_of_their_own() -> None:
    played = Played(Canned())
    requests = played.of(LabelRequest)[1:]
    expected = [structure(FRAMES[index]) for index in CHOSEN]
    assert same(tuple(each.structure for each in requests), tuple(expected))
    assert [each.directory for each in requests] == [f"/run/labels/{n:04d}" for n in range(1, 5)]
    assert {(each.previous, each.followed) for each in requests} == {("", False)}
    ready = next(state for state in played.states if state.initial)
    assert [frame.origin for frame in ready.initial] == [
        "rattled copies", "MD at 600 K", "MD at 600 K", "MD at 600 K"
    ]  # fmt: skip


def test_the_first_update_learns_from_all_and_knows_none() -> None:
    played = Played(Canned(uncertain=[3]))
    first, _, second, _ = played.of(SampleRequest)
    assert (len(first.labels), first.n_known, first.version) == (5, 0, 1)
    assert (len(second.labels), second.n_known, second.version) == (6, 5, 2)


def test_md_goes_on_from_the_first_frame_and_its_label() -> None:
    plain = Played(Answers(uncertain=[3]), initial=None)
    played = Played(Canned(uncertain=[3]))
    one, other = played.of(PropagateRequest)[0], plain.of(PropagateRequest)[0]
    assert same(one.checkpoint, other.checkpoint) and same(one.substitute, other.substitute)
    assert one.limit == other.limit
    later = played.of(LabelRequest)[-1]
    assert (later.directory, later.previous) == ("/run/labels/0005", "/run/labels/0000")


def test_none_of_them_enters_the_calibration() -> None:
    played = Played(Canned(uncertain=[3]))
    for label in initial_labels(played):
        assert label.calibration == Calibration(1.5, 10.0)
        assert label.prediction is None and np.isnan(label.error) and label.step == 0
    assert played.states[-1].calibration.count == 1
    asked = [each.decision for each in played.events(Asked)]
    assert [each.reason for each in asked[:5]] == [Reason.FIRST_FRAME, *[Reason.INITIAL] * 4]
    assert asked[5].reason is not Reason.INITIAL


def test_energies_are_shifted_as_all_are() -> None:
    played = Played(Canned())
    first, *others = played.events(Labelled)
    shift = first.shifted - first.label.energy
    for label in others:
        assert label.shifted == label.label.energy + shift
        assert label.label.energy == reference_energy(label.label.structure)


def test_a_frame_without_label_is_left_out_within_the_budget() -> None:
    played = Played(Canned(bad_labels=["0002"]), failure_budget=1)
    (failed,) = played.events(Failed)
    assert failed.action == "initial frame left out"
    assert played.states[-1].labels == ("0000", "0001", "0003", "0004")
    assert (played.states[-1].n_initial, played.states[-1].n_requests) == (3, 5)
    assert len(played.of(SampleRequest)[0].labels) == 4


def test_beyond_the_budget_the_run_stops_and_a_resumed_one_asks_again() -> None:
    answers = Canned(bad_labels=["0002", "0003"])
    states: list[LoopState] = []
    with pytest.raises(TaskError, match="label of initial data failed, failure 2 of this run, b"):
        Played(answers, failure_budget=1, hear=lambda commit: states.append(commit.state))
    assert [frame.name for frame in states[-1].initial] == ["0003", "0004"]
    again = Played(Canned(), state=through_codec(states[-1]), failure_budget=1)
    assert [each.directory[-4:] for each in again.of(LabelRequest)] == ["0003", "0004"]
    assert again.states[-1].labels == ("0000", "0001", "0003", "0004")


def test_failures_of_the_batch_count_with_those_of_md() -> None:
    answers = Canned(uncertain=[3], bad_labels=["0002", "0005"])
    with pytest.raises(TaskError, match="failure 2 of this run, budget 1"):
        Played(answers, failure_budget=1)


def test_a_source_that_fails_or_is_guarded_leaves_the_others() -> None:
    for broken in (
        Canned(bad_sources=(SourceKind.MD,)),
        Canned(guarded=(SourceKind.MD,)),
    ):
        played = Played(broken)
        assert len(played.of(SelectRequest)[0].candidates) == 2
        assert played.states[-1].n_initial == 2 and played.states[-1].phase is Phase.DONE
        (failed,) = played.events(Failed)
        assert "600 K" in failed.action + failed.failure.message
    assert failed.failure.message == "3 of 3 frames of MD at 600 K: the force guard forbids it"


def test_frames_that_guards_left_out_altogether_leave_a_run_without_initial_data() -> None:
    played = Played(Canned(guarded=(SourceKind.MD, SourceKind.RATTLED)))
    assert played.of(SelectRequest) == [] and len(played.events(Failed)) == 2
    assert played.states[-1].labels == ("0000",) and played.states[-1].phase is Phase.DONE


@pytest.mark.parametrize(
    "answers",
    [Canned(bad_sources=(SourceKind.MD, SourceKind.RATTLED)), Canned(unselectable=True)],
)
def test_without_any_frame_for_a_fault_the_run_stops_to_be_resumed(answers: Canned) -> None:
    states: list[LoopState] = []
    with pytest.raises(TaskError, match=r"for the initial data \(it went wrong\): see run\.log"):
        Played(answers, hear=lambda commit: states.append(commit.state))
    assert states[-1].phase is Phase.EXPLORE
    again = Played(Canned(), state=through_codec(states[-1]))
    assert again.states[-1].n_initial == 4


def test_the_priors_request_holds_the_first_label() -> None:
    by_prior = replace(WANTED, select="uncertainty")
    (request,) = Played(Canned(), initial=by_prior).of(SelectRequest)
    assert request.prior is not None and request.n_frames == 4
    assert request.prior.labels == ("/run/labels/0000",) and request.prior.previous is None
    assert Played(Canned()).of(SelectRequest)[0].prior is None


@pytest.mark.parametrize("while_labelling", ["wait", "rewind"])
@pytest.mark.parametrize("continue_on", ["reference", "ensemble"])
@pytest.mark.parametrize("bad_labels", [[], ["0003"]])
def test_every_commit_can_be_gone_on_from(
    while_labelling: str, continue_on: str, bad_labels: list[str]
) -> None:
    """What is left to do is done, and ends in the state of a run that nobody interrupted."""
    changes = {"while_labelling": while_labelling, "continue_on": continue_on}

    def play(state: LoopState | None = None) -> Played:
        return Played(Canned(uncertain=[3, 5], bad_labels=bad_labels), state=state, **changes)

    whole = play()
    assert whole.states[-1].phase is Phase.DONE
    for number, commit in enumerate(whole.store.commits[:-1]):
        again = play(through_codec(commit.state))
        assert same(again.states[-1], whole.states[-1])
        before = [event for c in whole.store.commits[: number + 1] for event in c.events]
        done = [event.name for event in before if type(event) is Labelled]
        rest = [event.name for event in again.events(Labelled)]
        assert done + rest == [event.name for event in whole.events(Labelled)]
        n_updates = sum(type(event) is Updated for event in before)
        assert n_updates + len(again.events(Updated)) == len(whole.events(Updated))


def told_of(played_with: Answers, **changes: Any) -> tuple[list[str], Progress]:
    lines: list[str] = []
    settings: Plan = plan(**{"initial": WANTED, **changes})
    progress = Progress("canned", settings, lines.append)
    Played(played_with, hear=progress.show, **changes)
    return lines, progress


def test_one_line_per_stage() -> None:
    lines, progress = told_of(Canned())
    at = next(n for n, line in enumerate(lines) if "making frames" in line)
    assert lines[at - 2 : at + 6] == [
        "canned  labelling the first frame",
        "canned  label 0000 took 1.0 s (first frame)",
        "canned  making frames for the initial data: MD at 600 K, rattled copies",
        "canned  labelling 4 frames at once: 1 of rattled copies, 3 of MD at 600 K",
        *[f"canned  label {n:04d} took 1.0 s (initial frame)" for n in range(1, 5)],
    ]
    assert progress.labels == 5 and progress.errors == []


def test_labels_at_once_do_not_add_up_to_wall_time() -> None:
    _, progress = told_of(Canned())
    spent = {kind: clock.seconds for kind, clock in progress.clocks.items()}
    assert spent["label"] == pytest.approx(2.0)  # the first frame's, and four together
    assert spent["explore"] == pytest.approx(2.0)  # making and choosing


def test_the_rate_of_labels_is_that_of_md() -> None:
    ledger = Ledger(dict.fromkeys(Pool, 1.0), timestep_fs=0.5)
    wanted: list[bool] = []

    def hear(commit: Commit) -> None:
        ledger.observe(commit)
        wanted.append(ledger.wants_label)

    played = Played(Canned(uncertain=[3]), hear=hear)
    assert len(ledger.label_steps) == len(played.events(Labelled)) == 6
    assert ledger.asked_steps == [0, 3]
    assert ledger.labels_since(0.0) == 1
    assert wanted[:6] == [True] * 5 + [False]


def test_making_frames_costs_its_time_once() -> None:
    """Two tasks of one second, one of which also tells of frames that were left out."""
    ledger = Ledger(dict.fromkeys(Pool, 0.0) | {Pool.MD: 1.0}, timestep_fs=0.5)
    Played(Canned(guarded=(SourceKind.RATTLED,)), hear=ledger.observe, initial=WANTED)
    without = Ledger(dict.fromkeys(Pool, 0.0) | {Pool.MD: 1.0}, timestep_fs=0.5)
    Played(Answers(), hear=without.observe, initial=None)
    # The two sources side by side, then the selection; each is a span of its own.
    assert ledger.node_seconds - without.node_seconds == pytest.approx(3.0)


def test_steps_and_ensembles_are_those_of_a_run_without() -> None:
    plain, played = Played(Answers(), initial=None), Played(Canned())
    for one, other in zip(played.events(Driven), plain.events(Driven), strict=True):
        assert np.array_equal(one.segment.steps, other.segment.steps)
        assert one.ensemble_version == other.ensemble_version
