"""Walkers of one material that share an ensemble: on simulated pools, then in small campaigns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canned import Answers, Store, first_state, plan, prediction
from test_campaign import campaign_of

from bnnflow.analysis.campaign import Watcher
from bnnflow.config import CampaignConfig
from bnnflow.data import RunStore, open_run, read_run
from bnnflow.errors import RunFolderError, TaskError
from bnnflow.records import (
    Asked,
    Commit,
    Driven,
    Failure,
    FailureCause,
    Labelled,
    LabelRequest,
    LoopState,
    Phase,
    PredictRequest,
    PropagateRequest,
    Reason,
    SampleRequest,
    Segment,
    Updated,
)
from executors.base import Pool
from workflows.campaign import resume_campaign, start_campaign
from workflows.commons import Commons
from workflows.deadline import Deadline
from workflows.driver import Walker, drive
from workflows.otf import fine_tune
from workflows.session import newest_ensemble, resume
from workflows.shares import Share
from workflows.sharing import Shared, curate
from workflows.simulation import SimulatedPools
from workflows.watching import write_reports

LABEL_S, UPDATE_S, STRETCH_S = 5.0, 10.0, 1.0


def seconds(_pool: Pool, request: Any) -> float:
    by_kind = {LabelRequest: LABEL_S, SampleRequest: UPDATE_S}
    return by_kind.get(type(request), STRETCH_S)


def of_walker(answers: Sequence[Answers]) -> Callable[[Any], Any]:
    """Each walker's MD has uncertain frames of its own; the walker is in the seed of its noise."""

    def answer(request: Any) -> Any:
        if isinstance(request, PropagateRequest):
            return answers[request.checkpoint.velocities[0, 0].astype(int)](request)
        return answers[0](request)

    return answer


class Group:
    """Some walkers and their curator on simulated pools; what each of them wrote."""

    def __init__(
        self,
        answer: Callable[[Any], Any],
        n_walkers: int,
        *,
        labels_at_once: int = 8,
        state: LoopState | None = None,
        **changes: Any,
    ) -> None:
        begin = replace(first_state(), phase=Phase.PROPAGATE, frame=None)
        self.names = [f"w{index}" for index in range(n_walkers)]
        self.commons = Commons(state or begin, self.names)
        self.stores = {name: Store() for name in ("curator", *self.names)}
        workers = {**dict.fromkeys(Pool, 8), Pool.DFT: labels_at_once}
        self.pools = SimulatedPools(workers, seconds=seconds, answer=answer)
        self.errors: dict[str, Exception] = {}
        self.settings = {"n_steps": 20, "segment_steps": 2, "threshold": 5.0, **changes}
        self.share = Share("material")

    def loops(self) -> Iterator[Walker]:
        """Each is made when it is opened."""
        yield self._curator()
        yield from map(self._walker, range(len(self.names)))

    def run(self) -> Group:
        try:
            drive(self.loops(), self.pools, inbox=self.pools)
        except Exception as error:  # that of a loop; any other is the driver's own fault
            if not any(error is each for each in self.errors.values()):
                raise
        return self

    def _curator(self) -> Walker:
        made = plan(folder="/shared", labels="/runs", **self.settings)
        loop = curate(self.commons, made)
        return self._reporting(
            Walker("curator", loop, self.stores["curator"], print, counted=False)
        )  # type: ignore[arg-type]

    def _walker(self, index: int) -> Walker:
        name = self.names[index]
        state = first_state()
        velocities = np.full((3, 3), float(index))
        state = replace(state, checkpoint=replace(state.checkpoint, velocities=velocities))
        made = plan(folder=f"/runs/{name}", **self.settings)
        store = self.stores[name]
        self.commons.enter(name)
        loop = fine_tune(state, made, Shared(self.commons, name))
        walker = self._reporting(Walker(name, loop, store, print, share=self.share))  # type: ignore[arg-type]
        walker.on_end = lambda: self.commons.leave(name, done=store.state.phase is Phase.DONE)
        return walker

    def _reporting(self, walker: Walker) -> Walker:
        def stop(error: Exception) -> None:
            self.errors[walker.name] = error
            if walker.name == "curator":
                self.commons.fail(error)

        walker.on_stop, walker.on_commit = stop, lambda _: None
        if walker.name == "curator":
            walker.on_late = lambda _: self.commons.give_up()
        return walker

    @property
    def curator(self) -> Store:
        return self.stores["curator"]

    @property
    def walkers(self) -> list[Store]:
        return [self.stores[name] for name in self.names]


def test_each_label_of_a_walker_reaches_all() -> None:
    """Walker 0 meets an uncertain frame at step 7, walker 1 at step 3, walker 2 none."""
    answers = of_walker([Answers([7]), Answers([3]), Answers()])
    group = Group(answers, 3).run()
    assert [store.state.phase for store in group.walkers] == [Phase.DONE] * 3
    assert group.curator.state.phase is Phase.DONE
    assert group.curator.state.labels == ("w0/labels/0000", "w1/labels/0000", "w0/labels/0001")
    assert [len(store.events(Labelled)) for store in group.walkers] == [2, 1, 0]
    assert [event.ensemble.version for event in group.curator.events(Updated)] == [1, 2, 3]
    assert not any(store.events(Updated) for store in group.walkers)
    for store in group.walkers:
        driven = store.events(Driven)
        steps = [int(step) for event in driven for step in event.segment.steps]
        assert steps == list(range(1, 21))
    versions = [event.ensemble_version for event in group.walkers[2].events(Driven)]
    assert versions == sorted(versions)
    assert {store.state.energy_shift for store in group.walkers} == {
        group.curator.state.energy_shift
    }


def test_the_calibration_is_that_of_all_labels() -> None:
    """The same errors in one estimate, whichever walker made them."""
    group = Group(of_walker([Answers([7]), Answers([3])]), 2).run()
    labels = group.curator.events(Labelled)
    known = [event for event in labels if event.prediction is not None]
    squares = sum((event.error / event.prediction.energy_std) ** 2 for event in known)
    found = group.curator.state.calibration
    assert found.count == len(known) == 2
    assert found.sum_squares == pytest.approx(squares)


def test_labels_that_come_during_an_update_share_the_next() -> None:
    """Three frames at once: the first to come makes version 2, the others version 3 together."""
    sampled: list[SampleRequest] = []

    def answers(request: Any) -> Any:
        if isinstance(request, SampleRequest):
            sampled.append(request)
        return of_walker([Answers([3]), Answers([3]), Answers([5])])(request)

    group = Group(answers, 3, labels_at_once=1).run()
    assert not group.errors
    by_version = {request.version: request for request in sampled}
    assert by_version[1].n_known == 0
    assert sum(len(r.labels) - r.n_known for r in by_version.values()) == len(
        group.curator.state.labels
    )
    assert all(name.startswith("/runs/w") for name in sampled[-1].labels)


def sure_from(version: int, answers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An ensemble that is sure of every frame from a version on, when asked about one."""

    def answer(request: Any) -> Any:
        if isinstance(request, PredictRequest) and request.ensemble is not None:
            sure = 0.01 if request.ensemble.version >= version else 0.5
            return tuple(
                replace(prediction(frame, request.ensemble.version), energy_std=sure)
                for frame in request.structures
            )
        made = answers(request)
        driving = isinstance(request, PropagateRequest)
        unsure = request.ensemble.version < version if driving else True
        if isinstance(made, Segment) and made.frame is not None and not unsure:
            return Answers()(request)
        return made

    return answer


def test_a_label_that_waits_is_called_off_when_the_new_ensemble_is_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One long label at a time: the others wait while the first makes version 2."""
    monkeypatch.setitem(globals(), "LABEL_S", 30.0)
    group = Group(sure_from(2, of_walker([Answers([3])] * 5)), 5, labels_at_once=1).run()
    called_off = [
        event
        for store in group.walkers
        for event in store.events(Asked)
        if event.decision.reason is Reason.WITHDRAWN
    ]
    assert called_off and not any(event.decision.ask for event in called_off)
    assert len(group.curator.state.labels) == 1 + 5 - len(called_off)
    for store in group.walkers:
        steps = [int(step) for event in store.events(Driven) for step in event.segment.steps]
        assert steps == list(range(1, 21))
        assert store.state.n_requests == len(store.state.labels)


def test_of_labels_that_wait_the_most_uncertain_goes_first() -> None:
    """Those of w0 and w1 fill the pool and the place behind it; of the rest the last is first."""
    begun: list[str] = []

    def answer(request: Any) -> Any:
        made = of_walker([Answers([3])] * 5)(request)
        if isinstance(request, LabelRequest):
            begun.append(request.directory)
        if isinstance(made, Segment) and made.prediction is not None:
            walker = int(request.checkpoint.velocities[0, 0])
            return replace(made, prediction=replace(made.prediction, energy_std=0.5 + walker))
        return made

    Group(answer, 5, labels_at_once=1).run()
    order = [name.split("/")[2] for name in begun if name.endswith("0000") and "w0" not in name]
    assert order == ["w1", "w4", "w3", "w2"]


def test_one_walker_that_fails_stops_no_other() -> None:
    """The leader gets no label of its first frame: another one leads."""

    def answer(request: Any) -> Any:
        if isinstance(request, LabelRequest) and request.directory.startswith("/runs/w0/"):
            return Failure("label", FailureCause.NOT_CONVERGED, "it went wrong")
        return of_walker([Answers(), Answers([3])])(request)

    group = Group(answer, 2).run()
    assert isinstance(group.errors["w0"], TaskError)
    assert group.walkers[1].state.phase is Phase.DONE
    assert group.curator.state.phase is not Phase.DONE  # a walker is not
    assert group.curator.state.labels[0] == "w1/labels/0000"


def test_walkers_end_with_the_curator() -> None:
    chains = [FailureCause.CRASHED] * 20
    group = Group(of_walker([Answers(bad_chains=chains), Answers()]), 2).run()
    assert set(group.errors) == {"curator", "w0", "w1"}
    assert "shared ensemble" in str(group.errors["w1"])


@pytest.mark.parametrize("label_s", [1.0, 30.0])
def test_with_rewind_md_goes_on_meanwhile(label_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LABEL_S", label_s)
    answers = of_walker([Answers([7]), Answers([3])])
    waited = Group(answers, 2, threshold=100.0).run()
    ahead = Group(answers, 2, threshold=100.0, while_labelling="rewind").run()
    for store in ahead.walkers:
        steps = [int(step) for event in store.events(Driven) for step in event.segment.steps]
        assert steps == list(range(1, 21))
    assert ahead.pools.now() < waited.pools.now()


@pytest.fixture
def shared(model: Path) -> CampaignConfig:
    """Three walkers on water for a few steps, with one ensemble."""
    return campaign_of(
        model,
        [{"structure": "H2O"}],
        conditions={"walkers": 3},
        ensembles="per_material",
        dynamics={
            **campaign_of(model, [{"structure": "H2O"}]).dynamics,
            "length_ps": 0.006,
        },
    )


def check_whole(folder: Path) -> None:
    """Every label of a walker is in the curator's run once, and nothing else."""
    curator = read_run(folder / "shared" / "H2O")
    runs = {name: read_run(folder / "runs" / f"H2O-{name}") for name in ("w1", "w2", "w3")}
    expected = {f"H2O-{w}/labels/{label}" for w, run in runs.items() for label in run.state.labels}
    assert sorted(curator.state.labels) == sorted(expected)
    assert list(curator.labels.name) == list(curator.state.labels)
    assert all(run.state.phase is Phase.DONE for run in runs.values())
    assert curator.state.phase is Phase.DONE
    assert all((folder / "runs" / name / "result.h5").is_file() for name in curator.state.labels)
    errors = curator.labels.error[np.isfinite(curator.labels.error)]
    assert curator.state.calibration.count == len(errors)
    assert curator.state.calibration.sum_squares == pytest.approx(
        np.sum((errors / curator.labels.energy_std[np.isfinite(curator.labels.error)]) ** 2)
    )


def test_a_real_campaign_with_one_ensemble(shared: CampaignConfig, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    summary = start_campaign(shared, folder, inline=True)
    assert summary.unfinished == 0, summary.table()
    check_whole(folder)
    with pytest.raises(RunFolderError, match="resume the folder of the campaign"):
        resume([folder / "runs" / "H2O-w1"], inline=True)
    status = Watcher([folder]).look()
    assert [row.name for row in status.rows] == ["H2O-w1", "H2O-w2", "H2O-w3"]
    curator = read_run(folder / "shared" / "H2O")
    labels = [read_run(Path(row.folder)).labels.seconds for row in status.rows]
    assert status.used["gpu"].seconds == pytest.approx(np.sum(curator.updates.seconds))
    assert status.used["dft"].seconds == pytest.approx(sum(np.sum(each) for each in labels))
    for written in write_reports([folder], runs=True):
        assert written.stat().st_size > 10_000


class _Killed(BaseException):
    """What a kill looks like from inside."""


def killed_until_through(
    campaign: CampaignConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each commit of a label or version in turn, by whichever loop, until the end."""
    write = RunStore.commit

    def once(self: RunStore, commit: Commit) -> int:
        written = write(self, commit)
        if any(isinstance(event, Labelled | Updated) for event in commit.events):
            raise _Killed
        return written

    monkeypatch.setattr(RunStore, "commit", once)
    go = partial(start_campaign, campaign, folder, inline=True)
    for _ in range(60):
        try:
            summary = go()
        except _Killed:
            go = partial(resume_campaign, folder, inline=True)
            continue
        break
    assert summary.unfinished == 0, summary.table()


def test_a_killed_campaign_loses_no_label(
    shared: CampaignConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny"
    killed_until_through(shared, folder, monkeypatch)
    check_whole(folder)
    first = [
        read_run(folder / "runs" / f"H2O-{name}").labels.reason[:1] for name in ("w1", "w2", "w3")
    ]
    assert sum("first_frame" in map(str, each) for each in first) == 1  # one leader, however often
    commits = read_run(folder / "shared" / "H2O").commit
    resume_campaign(folder, inline=True)
    assert read_run(folder / "shared" / "H2O").commit == commits  # nothing to do, nothing written


def test_a_moved_campaign_goes_on(
    shared: CampaignConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny"
    start_campaign(shared, folder, inline=True)
    moved = folder.rename(tmp_path / "elsewhere")
    run = read_run(moved / "runs" / "H2O-w2")
    there = Path(newest_ensemble(run, moved / "runs" / "H2O-w2").directory)
    assert there.is_dir() and moved in there.parents
    with open_run(moved / "shared" / "H2O") as store:
        assert store.state.ensemble is not None


def test_a_pooled_prior_is_committed_with_each_label(model: Path, tmp_path: Path) -> None:
    """Of two runs, each with errors, the one that is labelled last has what the other's say."""
    materials = [{"structure": "H2O"}]
    dynamics = {**campaign_of(model, materials).dynamics, "length_ps": 0.006}
    sampler = {**campaign_of(model, materials).sampler, "steps": 20, "chains": 4}
    changes = {"dynamics": dynamics, "sampler": sampler, "conditions": {"walkers": 2}}
    campaign = campaign_of(model, materials, calibration_prior="pooled", **changes)
    section = campaign.calibration
    start_campaign(campaign, tmp_path / "tiny", inline=True)
    runs = [read_run(tmp_path / "tiny" / "runs" / name) for name in ("H2O-w1", "H2O-w2")]
    ends = [run.state.calibration for run in runs]
    assert all(run.state.phase is Phase.DONE for run in runs)
    given = (section["shape"], section["scale"])
    assert any((each.shape, each.scale) != given for each in ends)


def test_initial_data_of_one_walker_are_learnt_by_all(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each label in turn; all of them are in the first version."""
    initial = {"labels": 2, "candidates": 4, "rattle_A": 0.02, "temperatures_K": []}
    campaign = campaign_of(
        model,
        [{"structure": "H2O"}],
        conditions={"walkers": 3},
        ensembles="per_material",
        initial=initial,
    )
    folder = tmp_path / "tiny"
    killed_until_through(campaign, folder, monkeypatch)
    check_whole(folder)
    curator = read_run(folder / "shared" / "H2O")
    assert len(curator.state.labels) == 3
    assert [str(each) for each in curator.labels.reason][:3] == [
        "first_frame",
        "initial",
        "initial",
    ]
    assert len(read_run(folder / "runs" / "H2O-w1").state.labels) == 3


def test_a_deadline_leaves_walkers_with_their_curator() -> None:
    """The second update does not fit any more: whoever waits for it is left, and nothing hangs."""
    answers = of_walker([Answers([7]), Answers([3])])
    whole = Group(answers, 2).run()
    group = Group(answers, 2)
    deadline = Deadline(end=0.5 * whole.pools.now())
    walkers = group.loops()
    drive(walkers, group.pools, inbox=group.pools, deadline=deadline)
    assert deadline.missed and not group.errors
    assert group.pools.now() <= deadline.end + UPDATE_S
    assert not any(store.state.phase is Phase.DONE for store in group.walkers)


@pytest.mark.timeout(60)
def test_a_deadline_leaves_a_curator_whose_walkers_were_never_opened() -> None:
    """One walker at a time: the first is left, the others are not opened any more."""
    group = Group(of_walker([Answers([3, 5]), Answers(), Answers()]), 3)
    deadline = Deadline(end=LABEL_S + UPDATE_S + 3.0)
    drive(group.loops(), group.pools, inbox=group.pools, deadline=deadline, most_open=1)
    assert deadline.missed and not group.errors
    assert [bool(store.commits) for store in group.walkers] == [True, False, False]


def test_a_leader_that_ends_wakes_none_that_waits_for_its_label() -> None:
    """One walker has handed in the first label of an earlier session; another leads, and leaves."""
    begin = replace(first_state(), phase=Phase.PROPAGATE, frame=None)
    commons = Commons(begin, ["a", "b", "c"])
    assert commons.leads("b") and not commons.leads("c")
    waits = commons.newer_than(0)
    seen = commons.hand_in([], "a/labels/0000")
    commons.leave("b", done=False)
    assert waits.done() and not seen.done()
    assert commons.leads("c")


def test_chains_that_start_anew_are_not_begun_twice() -> None:
    """The curator was killed in the update of them; the walker asks once more."""
    state = replace(first_state(), phase=Phase.UPDATE, frame=None, fresh=(1,))
    commons = Commons(state, ["a"])
    commons.renew((1,), 0)
    assert commons.take(state)[0].fresh == ()
    commons.renew((0, 1), 0)
    assert commons.take(state)[0].fresh == (0, 1)
