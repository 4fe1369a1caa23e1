"""The end of a session: what still begins before it, what is taken in, and what is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from canned import Answers, first_state, plan, play
from test_driver import FakeExecutor, FakeStore, asking, request, walker
from tiny_runs import assert_labels_whole, assert_same_run, attempts, settings

from bnnflow import tasks
from bnnflow.data import read_run
from bnnflow.errors import BlockLostError, ConfigError
from bnnflow.records import (
    Commit,
    LabelRequest,
    Phase,
    PropagateRequest,
    SampleRequest,
)
from executors.base import Pool
from workflows.campaign import resume_campaign, start_campaign
from workflows.deadline import CLOSING_S, LATENCY_S, MARGIN, Deadline, duration_s, session_deadline
from workflows.driver import drive
from workflows.ledger import expect_as_long, longest_s
from workflows.otf import fine_tune as otf_loop
from workflows.session import fine_tune, resume
from workflows.shares import Share
from workflows.simulation import SimulatedPools

LENGTHS_S = {LabelRequest: 100.0, SampleRequest: 20.0, PropagateRequest: 5.0}


class Told:
    """Answers of tasks, which say how long they took."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("23h30m", 84600),
        ("90m", 5400),
        ("45s", 45),
        ("1d2h", 93600),
        ("24:00:00", 86400),
        ("1-00:00:01", 86401),
    ],
)
def test_times_as_people_and_schedulers_write_them(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "5 h", "1:75:00", "soon"])
def test_what_is_no_time_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no time, expected such as 23h30m") as caught:
        duration_s(text)
    assert "\n" not in str(caught.value)


def test_a_warning_brings_the_end_forward_and_never_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with session_deadline("1h", "10m") as deadline:
        assert deadline.left_s(time.time()) == pytest.approx(3600, abs=5)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert deadline.left_s(time.time()) == pytest.approx(600 - CLOSING_S, abs=5)
        assert deadline.news() == ["warned by SIGUSR1: at most 540 s left"]
        assert deadline.news() == []
    with session_deadline("30s", "10m") as deadline:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert deadline.left_s(time.time()) <= 30
    assert signal.getsignal(signal.SIGUSR1) is before


def pools(workers: int = 1, lengths: dict[type, float] = LENGTHS_S) -> SimulatedPools:
    """Pools of some workers each, whose tasks take known times and say so."""

    def answer(asked: Any) -> Any:
        return Told(lengths[type(asked)]) if isinstance(asked, LabelRequest) else asked

    return SimulatedPools(
        dict.fromkeys(Pool, workers),
        seconds=lambda _pool, asked: lengths.get(type(asked), 5.0),
        answer=answer,
    )


def drained(end: float, names: int, **changes: Any) -> tuple[FakeStore, Deadline, list[str], float]:
    """A run that asks for one label of 100 s after another, until the deadline."""
    made, store, said = pools(**changes), FakeStore(), []
    deadline = Deadline(end)
    one = walker(asking([str(index) for index in range(names)], []), store)
    one.on_late = said.append
    drive([one], made, inbox=made, deadline=deadline)
    return store, deadline, said, made.now()


@pytest.mark.parametrize(
    ("end", "labels", "missed"),
    [
        (1000.0, 5, False),
        (100.0 * (4 + MARGIN) + 1, 5, False),
        (100.0 * (4 + MARGIN), 4, True),
        (251.0, 2, True),
        (1.0, 1, True),
    ],
)
def test_no_label_begins_that_would_not_end(end: float, labels: int, missed: bool) -> None:
    """Five labels of 100 s; how long the first takes nobody knows, so it begins."""
    store, deadline, said, now = drained(end, 5)
    assert (len(store.commits), deadline.missed, store.closed) == (labels, missed, True)
    assert now == 100.0 * labels  # what had begun was taken in, and nothing was waited for
    assert len(said) == missed
    if missed:
        assert said[0].startswith("time is up: the next task, label, which took 100 s before, is")


def test_a_task_may_take_a_while_to_reach_its_worker() -> None:
    assert Deadline(100.0).allows(0.0, 60.0) and not Deadline(100.0, 10.0).allows(0.0, 60.0)
    with session_deadline("1h", "10m") as deadline:
        assert deadline.latency_s == LATENCY_S


def test_what_earlier_sessions_took_counts() -> None:
    made, store, deadline = pools(), FakeStore(), Deadline(149.0)
    one = walker(asking(["a"], []), store)
    one.share.longest[Pool.DFT] = 100.0
    drive([one], made, inbox=made, deadline=deadline)
    assert deadline.missed and not store.commits and made.now() == 0.0


def test_others_go_on_while_one_is_left() -> None:
    """Labels take 100 s, other tasks 5 s: the run of short tasks comes to its end."""

    def short() -> Any:
        for _ in range(20):
            yield from_label
            yield Commit(first_state(), ())
        return first_state()

    (from_label,) = [
        each
        for each in play(otf_loop(first_state(), plan()), Answers())
        if isinstance(each, PropagateRequest)
    ][:1]
    made, deadline, ended = pools(), Deadline(220.0), []
    stores = {"long": FakeStore(), "short": FakeStore()}
    runs = [
        walker(asking(["a", "b", "c"], []), stores["long"], "long"),
        walker(short(), stores["short"], "short"),
    ]
    for run in runs:
        run.on_end = lambda run=run: ended.append((run.name, made.now()))  # type: ignore[misc]
    drive(runs, made, inbox=made, deadline=deadline)
    assert len(stores["long"].commits) == 1 and len(stores["short"].commits) == 20
    assert deadline.missed
    assert dict(ended) == {"short": 100.0, "long": 100.0}


def test_runs_that_have_not_begun_are_not_begun_any_more() -> None:
    made, deadline, opened = pools(), Deadline(300.0), []

    def runs() -> Iterator[Any]:
        for number in range(9):
            opened.append(number)
            yield walker(asking(["a"], []), FakeStore(), str(number))

    drive(runs(), made, most_open=1, inbox=made, deadline=deadline)
    assert deadline.missed and opened == [0, 1, 2]


def test_all_done_in_time_is_not_missed() -> None:
    made, deadline = pools(), Deadline(1000.0)
    runs = [walker(asking(["a"], []), FakeStore(), str(number)) for number in range(3)]
    drive(runs, made, most_open=1, inbox=made, deadline=deadline)
    assert not deadline.missed


def test_an_update_of_several_tasks_is_taken_in_as_far_as_it_has_begun() -> None:
    """Two chains have begun and two have not when it gets late: the two are waited for."""
    chains = next(
        each
        for each in play(otf_loop(first_state(), plan(chains_per_task=1)), Answers())
        if isinstance(each, tuple)
    )
    made, store, said, deadline = pools(2), FakeStore(), [], Deadline(25.0)

    def loop() -> Any:
        yield chains
        yield Commit(first_state(), ())

    one = walker(loop(), store)
    one.share.longest[Pool.GPU] = 10.0
    one.on_late = said.append
    drive([one], made, inbox=made, deadline=deadline)
    assert len(chains) == 4 and made.now() == 20.0  # not 0: two were under way
    assert not store.commits and said and "update" in said[0]


@pytest.mark.timeout(60)
def test_what_still_runs_at_the_end_is_not_waited_for() -> None:
    executor, store, said = FakeExecutor(lambda _: None), FakeStore(), []
    deadline = Deadline(time.time() + 0.3)
    one = walker(asking(["never ends"], []), store)
    one.on_late = said.append
    began = time.monotonic()
    drive([one], executor, deadline=deadline)  # type: ignore[arg-type]
    assert 0.2 < time.monotonic() - began < 5.0
    assert deadline.missed and store.closed and not store.commits
    assert said == ["time is up: label was under way, and will be done again"]


@pytest.mark.timeout(60)
def test_what_ended_just_before_the_end_is_taken_in() -> None:
    """The last answers are there when the time is over: all are committed, none is asked for."""

    def serve(executor: FakeExecutor) -> None:
        if len(executor.futures) == 3:
            deadline.end = 0.0
            for future in executor.futures:
                future.set_result("there")

    deadline, stores = Deadline(), [FakeStore() for _ in range(3)]
    executor = FakeExecutor(serve)
    runs = [walker(asking(["a", "b"], []), store) for store in stores]
    drive(runs, executor, deadline=deadline)  # type: ignore[arg-type]
    assert [len(store.commits) for store in stores] == [1, 1, 1]
    assert len(executor.submitted) == 3 and deadline.missed


def test_a_task_lost_too_late_is_not_submitted_again() -> None:
    deadline, said = Deadline(), []

    def serve(executor: FakeExecutor) -> None:
        deadline.end = 0.0
        executor.futures[-1].set_exception(BlockLostError("walltime"))

    executor = FakeExecutor(serve)
    one = walker(asking(["a"], []))
    one.on_late = said.append
    drive([one], executor, deadline=deadline)  # type: ignore[arg-type]
    assert len(executor.submitted) == 1 and deadline.missed and len(said) == 1


def test_runs_hear_of_a_warning() -> None:
    deadline, said = Deadline(), []
    deadline.bring_forward(1e12, "warned")
    one = walker(asking(["a"], []))
    one.on_notice = said.append
    futures: list[Future[Any]] = []

    def serve(executor: FakeExecutor) -> None:
        futures.append(executor.futures[-1])
        futures[-1].set_result("there")

    drive([one], FakeExecutor(serve), deadline=deadline)  # type: ignore[arg-type]
    assert said == ["warned"]


def test_md_that_goes_ahead_does_not_keep_a_run_whose_label_is_late() -> None:
    """With `rewind`, MD could go on for as long as the label would take, for nothing."""
    from workflows.protocol import Begin, First

    segment = next(
        each
        for each in play(otf_loop(first_state(), plan()), Answers())
        if isinstance(each, PropagateRequest)
    )
    made, store, deadline = pools(), FakeStore(), Deadline(120.0)

    def loop() -> Any:
        label = Begin(request("label"))
        yield label
        while True:
            ahead = Begin(segment)
            yield ahead
            yield First((label, ahead))

    one = walker(loop(), store)
    one.share.longest[Pool.DFT] = 100.0
    drive([one], made, inbox=made, deadline=deadline)
    assert deadline.missed and made.now() == 0.0


def warning_in(monkeypatch: pytest.MonkeyPatch, task: str, count: int) -> list[str]:
    """Have SIGUSR1 come while the n-th task of a kind runs; returns what ran after that."""
    real: Callable[[Any], Any] = getattr(tasks, task)
    began: list[str] = []

    def warned(asked: Any) -> Any:
        began.append(task)
        answer = real(asked)
        if len(began) == count:
            os.kill(os.getpid(), signal.SIGUSR1)
        return answer

    from workflows import jobs

    places = dict(jobs.PLACES)
    for kind, (pool, known, name) in jobs.PLACES.items():
        if known is real:
            places[kind] = (pool, warned, name)
    monkeypatch.setattr(jobs, "PLACES", places)
    return began


@pytest.mark.parametrize(
    ("task", "count"), [("label", 1), ("label", 2), ("sample", 2), ("propagate", 3)]
)
def test_a_run_that_is_warned_loses_nothing_and_goes_on_to_the_same_end(
    task: str,
    count: int,
    finished: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What runs when the signal comes is committed; the resumed run is the undisturbed one."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch, session_deadline(None, "1s") as deadline:
        warning_in(patch, task, count)
        drawn_in(patch)
        (summary,) = fine_tune([settings(model)], folders=[run], inline=True, deadline=deadline)
    assert deadline.missed and not summary.finished
    found = read_run(run)
    kept = {"label": len(found.labels.name), "sample": len(found.updates.version)}
    assert kept.get(task, count) == count  # the task under way was taken in
    assert found.state.phase is not Phase.DONE
    assert attempts(run) == [f"labels/{name}/attempt-01" for name in found.labels.name]
    log = (run / "run.log").read_text()
    assert "left where it stands: time is up" in log and "warned by SIGUSR1" in log
    (summary,) = resume([run], inline=True)
    assert summary.finished
    assert_same_run(run, finished)
    assert_labels_whole(run)
    assert attempts(run) == attempts(finished)


def drawn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is at once when the warning comes: nothing more fits."""
    real = Deadline.bring_forward

    def now(deadline: Deadline, end: float, line: str) -> None:
        real(deadline, 0.0, line)

    monkeypatch.setattr(Deadline, "bring_forward", now)


def test_a_campaign_whose_time_is_up_goes_on_until_all_is_done(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnnflow.config import parse_campaign

    values = settings(model).model_dump(mode="json")
    del values["material"], values["sampler"]["schedule"]
    values["sampler"] = {"schedule": "published", "chains": 4, "steps": 20, "step_size": 0.04}
    values["dynamics"] = {"temperature_K": 300, "length_ps": 0.002, "checkpoint_every_steps": 2}
    values["run"] = {"seed": 14}
    values |= {"name": "two", "materials": [{"structure": "H2O"}, {"structure": "H2O"}]}
    campaign = parse_campaign(values)
    whole = start_campaign(campaign, tmp_path / "whole", inline=True)
    assert whole.unfinished == 0
    folder = tmp_path / "parts"
    with monkeypatch.context() as patch, session_deadline(None, "1s") as deadline:
        warning_in(patch, "label", 1)
        drawn_in(patch)
        ended = start_campaign(campaign, folder, inline=True, deadline=deadline)
    assert deadline.missed and ended.unfinished == 2
    assert {run.state for run in ended.runs} == {"not done"}
    assert any("time is up" in run.reason for run in ended.runs)
    assert resume_campaign(folder, inline=True).unfinished == 0
    for run in ("H2O", "H2O-2"):
        assert_same_run(folder / "runs" / run, tmp_path / "whole" / "runs" / run)


def test_an_update_of_several_tasks_took_until_the_last_had_ended(finished: Path) -> None:
    run = read_run(finished)
    spans = [
        seconds
        for kind, seconds in zip(run.timing.kind, run.timing.seconds, strict=True)
        if str(kind) == "update"
    ]
    doubled = replace(run, updates=replace(run.updates, seconds=100.0 + run.updates.seconds))
    assert longest_s(doubled)[Pool.GPU] == max(spans)
    share = Share("a")
    share.longest[Pool.GPU] = 1e6
    expect_as_long(share, run)
    assert share.longest[Pool.GPU] == 1e6
    assert share.longest[Pool.DFT] == max(map(float, run.labels.seconds))
