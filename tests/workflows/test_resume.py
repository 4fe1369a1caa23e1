"""Runs that are stopped and killed: what follows is what an uninterrupted run would have done."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import RTO, assert_labels_whole, assert_same_run, attempts, contents, settings

from bnnflow import tasks
from bnnflow.data import RunStore, is_run, read_run
from bnnflow.records import Commit, Label, Labelled, Phase
from workflows.session import fine_tune, resume

HERE = Path(__file__).parent
SHORT_PS = 0.0025
"""Five steps: the first frame and a second one are labelled, each before an update."""


class StopError(Exception):
    """Injected."""


@pytest.fixture(scope="module")
def short(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("short") / "run"
    fine_tune([brief(model)], folders=[folder], inline=True)
    assert len(read_run(folder).labels.name) >= 2
    return folder


def brief(model: Path) -> Any:
    return settings(model, dynamics={"length_ps": SHORT_PS})


@contextmanager
def stopping(monkeypatch: pytest.MonkeyPatch, when: Any, *, written: bool) -> Iterator[None]:
    """Stop the run at a commit for which `when(number, commit)` holds, before or after it."""
    commit = RunStore.commit

    def stop(store: RunStore, each: Commit) -> int:
        due = when(store.number + 1, each)
        if due and not written:
            raise StopError
        number = commit(store, each)
        if due:
            raise StopError
        return number

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(RunStore, "commit", stop)
        yield


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 5, 6])
def test_task_done_but_not_committed_changes_nothing(
    short: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    assert read_run(short).commit >= 6
    run = tmp_path / "run"
    with stopping(monkeypatch, lambda number, _: number == stop_at, written=False):
        fine_tune([brief(model)], folders=[run], inline=True)
    assert read_run(run).commit == stop_at - 1
    resume([run], inline=True)
    assert_same_run(run, short)
    assert_labels_whole(run)
    assert attempts(run) == attempts(short)


def stop_at_every_commit(config: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a run and resume it to its end, one commit at a time."""
    with stopping(monkeypatch, lambda number, _: True, written=True):
        fine_tune([config], folders=[run], inline=True)
    while read_run(run).state.phase is not Phase.DONE:
        with stopping(monkeypatch, lambda number, _: True, written=True):
            resume([run], inline=True)


def test_run_stopped_at_every_commit_in_turn(
    finished: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at_every_commit(settings(model), run, monkeypatch)
    assert_same_run(run, finished)
    assert_labels_whole(run)


def test_run_of_the_default_schedule_stopped_at_every_commit_in_turn(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole, run = settings(model, sampler=RTO), tmp_path / "whole", tmp_path / "run"
    fine_tune([config], folders=[whole], inline=True)
    assert len(read_run(whole).updates.version) >= 2
    stop_at_every_commit(config, run, monkeypatch)
    assert_same_run(run, whole)


def test_finished_label_is_harvested_and_not_asked_again(
    short: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, computed = tmp_path / "run", []
    second = run / "labels" / "0001" / "result.h5"

    def holds_second(_number: int, commit: Commit) -> bool:
        return any(isinstance(each, Labelled) and each.name == "0001" for each in commit.events)

    with stopping(monkeypatch, holds_second, written=False):
        fine_tune([brief(model)], folders=[run], inline=True)
    assert read_run(run).state.phase is Phase.LABEL
    assert read_run(run).labels.name == ("0000",)
    before = second.stat().st_mtime_ns

    real = tasks.reference_label

    def counted(request: Any) -> Any:
        outcome = real(request)
        computed.append((Path(request.directory).name, isinstance(outcome, Label)))
        return outcome

    monkeypatch.setattr(tasks, "reference_label", counted)
    resume([run], inline=True)
    assert computed[0] == ("0001", True)
    assert second.stat().st_mtime_ns == before
    assert attempts(run) == attempts(short)
    assert_same_run(run, short)


def test_label_that_was_running_is_run_again(
    short: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt without a result is evidence only: neither read nor in the way."""
    run = tmp_path / "run"
    with stopping(monkeypatch, lambda number, commit: _asks(commit), written=True):
        fine_tune([brief(model)], folders=[run], inline=True)
    left = run / "labels" / "0001" / "attempt-01"
    left.mkdir(parents=True)
    (left / "half.txt").write_text("half a result")
    resume([run], inline=True)
    assert [path.name for path in sorted(left.parent.glob("attempt-*"))] == [
        "attempt-01",
        "attempt-02",
    ]
    assert_same_run(run, short)


def _asks(commit: Commit) -> bool:
    return commit.state.phase is Phase.LABEL


def test_moved_run_goes_on(
    short: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopping(monkeypatch, lambda number, _: number == 4, written=True):
        fine_tune([brief(model)], folders=[tmp_path / "run"], inline=True)
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    resume([moved], inline=True)
    assert_same_run(moved, short)
    assert not (tmp_path / "run").exists()


def test_log_counts_on_after_a_resume(
    short: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with stopping(monkeypatch, lambda number, _: number == 5, written=True):
        fine_tune([brief(model)], folders=[run], inline=True)
    resume([run], inline=True)
    labels = len(read_run(run).labels.name)
    assert f"{labels} labels" in (run / "run.log").read_text().splitlines()[-1]


class KillServer:
    """The process whose forks are killed; see kill_server.py."""

    def __init__(self, model: Path, length_ps: float, *options: str) -> None:
        script = HERE / "kill_server.py"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script, model, str(length_ps), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> KillServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def go_on(
        self, folder: Path, *, kill_at: int | None = None, kill_after_s: float | None = None
    ) -> dict[str, Any]:
        """Start or resume a run in a fork; how it ended."""
        order = {"folder": str(folder), "kill_at": kill_at, "kill_after_s": kill_after_s}
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        ended: dict[str, Any] = json.loads(self.process.stdout.readline())
        return ended


def assert_committed_is_kept(before: Path, after: Path) -> None:
    """No commit and no finished label of a killed run was changed by going on with it."""
    old, new = contents(before), contents(after)
    kept = [name for name in old if name.startswith("commits/0") or name.endswith("result.h5")]
    assert all(old[name] == new[name] for name in kept)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_at_every_write_point(short: Path, model: Path, tmp_path: Path) -> None:
    """Two kills for each point of a whole run, the second one in what follows the first."""
    with KillServer(model, SHORT_PS) as server:
        points = server.go_on(tmp_path / "clean")["points"]
        assert_same_run(tmp_path / "clean", short)
        sides = {f"{name}:{side}" for name in NAMES for side in ("before", "after")}
        assert sides == set(points)
        for index, point in enumerate(points):
            print(index, point)  # shown when what follows fails
            run, killed = tmp_path / f"{index:03d}", tmp_path / f"{index:03d}-killed"
            ended = server.go_on(run, kill_at=index)
            assert (ended["signal"], ended["points"][-1]) == (9, point)
            finished = [path.parent.name for path in run.glob("labels/*/result.h5")]
            shutil.copytree(run, killed)
            again = server.go_on(run, kill_at=index % 7)
            assert again["signal"] == 9 or is_run(run)
            assert server.go_on(run)["code"] == 0
            assert_committed_is_kept(killed, run)
            assert set(finished) <= set(read_run(run).labels.name)
            assert_same_run(run, short)
            assert_labels_whole(run)
            shutil.rmtree(run)
            shutil.rmtree(killed)
    print(f"{len(points)} write points, {len(set(points))} names: every resume gave the same run")


NAMES = (
    "segment.write",
    "segment.publish",
    "config.write",
    "config.publish",
    "rebuild.write",
    "rebuild.publish",
    "view.mark",
    "view.timing",
    "view.labels",
    "view.updates",
    "view.trajectory",
    "view.decisions",
    "view.state",
    "view.close",
    "view.clean",
    "label.publish",
    "member.save",
)
"""Every write of a run without failures."""


@pytest.mark.slow
@pytest.mark.parametrize("member", [0, 2])
def test_update_killed_and_repeated_by_a_process_that_has_done_nothing_before(
    short: Path, model: Path, tmp_path: Path, member: int
) -> None:
    """Killed in the second update before a member is saved; a new process rounds as the old one."""
    with KillServer(model, SHORT_PS, "cold") as server:
        points = server.go_on(tmp_path / "whole")["points"]
    assert_same_run(tmp_path / "whole", short)
    saves = [index for index, point in enumerate(points) if point == "member.save:before"]
    assert len(saves) == 2 * 4
    with KillServer(model, SHORT_PS, "cold") as server:
        assert server.go_on(tmp_path / "run", kill_at=saves[4 + member])["signal"] == 9
    with KillServer(model, SHORT_PS, "cold") as server:
        assert server.go_on(tmp_path / "run")["code"] == 0
    assert_same_run(tmp_path / "run", short)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_at_random_moments(finished: Path, model: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    kills = runs = 0
    moments: list[str] = []
    with KillServer(model, 0.012) as server:
        server.go_on(tmp_path / "warm")
        while kills < 20:
            run, ended = tmp_path / f"{runs:03d}", {"signal": 9}
            while ended["signal"] == 9 and kills < 20:
                shutil.rmtree(tmp_path / "killed", ignore_errors=True)
                ended = server.go_on(run, kill_after_s=rng.uniform(0.05, 0.6))
                kills += ended["signal"] == 9
                moments.extend(ended.get("points", ())[-1:])
                assert ended["signal"] == 9 or ended["code"] == 0
                if run.exists():
                    shutil.copytree(run, tmp_path / "killed")
            assert server.go_on(run)["code"] == 0
            if (tmp_path / "killed").exists():
                assert_committed_is_kept(tmp_path / "killed", run)
            assert_same_run(run, finished)
            assert_labels_whole(run)
            runs += 1
    print(f"{kills} kills in {runs} runs, after: {sorted(set(moments))}")
