"""Forecasts of campaigns small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bnnflow.config import parse_config
from bnnflow.data import read_run
from bnnflow.errors import ConfigError, RunFolderError
from executors.base import Pool
from workflows.plan_labels import LabelHistory
from workflows.plan_times import TaskTimes, given, measure
from workflows.planned_loops import PlayedRun
from workflows.planning import PlannedPools, forecast
from workflows.session import fine_tune
from workflows.simulation import SimulatedPools

THREE_LABELS = LabelHistory((100.0, 400.0), 1000.0)
"""With that of the first frame."""
TIMES = TaskTimes(
    n_atoms=10.0,
    label=60.0,
    md=(0.0, 0.01),
    update=(2.0, 0.0, 1.0),
    histories=(replace(THREE_LABELS, relative=True),),
    label_power=2.0,
)


def pools(gpu: int = 1, dft: int = 1, md: int = 1, **more: object) -> PlannedPools:
    workers = {Pool.GPU: gpu, Pool.DFT: dft, Pool.MD: md}
    return PlannedPools(workers, {Pool.GPU: 0.5, Pool.DFT: 2.0, Pool.MD: 0.1}, **more)  # type: ignore[arg-type]


def run(name: str = "one", n_atoms: int = 10, n_steps: int = 2000) -> PlayedRun:
    return PlayedRun(name, n_atoms, n_steps, timestep_fs=0.5, n_chains=8)


ALONE_S = 3 * 60.0 + 2000 * 0.01 + 8 * (3.0 + 4.0 + 5.0)
"""Three labels, all MD, and updates of eight chains with one, two and three labels."""


def test_one_run_alone_takes_the_sum_of_its_tasks() -> None:
    found = forecast([run()], TIMES, pools())
    assert found.wall_s == pytest.approx(ALONE_S)
    assert found.labels == 3 and found.bottleneck is Pool.DFT
    assert found.node_hours[Pool.DFT] == pytest.approx(3 * 60.0 * 2.0 / 3600)
    assert found.busy[Pool.DFT] == pytest.approx(180.0 / ALONE_S)
    assert found.ends_s == {"one": pytest.approx(ALONE_S)}


def test_initial_data_are_labelled_at_once_and_learnt_from_in_one_update() -> None:
    """Four more labels over two workers, MD of two sources before them over one, and the updates
    of all versions have four labels more."""
    first = replace(run(), n_initial=4, explore_steps=(1000, 500))
    found = forecast([first], TIMES, pools(dft=2))
    more = 2 * 60.0 + 1500 * 0.01 + 8 * 3 * 4 * 1.0
    assert found.wall_s == pytest.approx(ALONE_S + more)
    assert found.labels == 3 + 4


def test_walkers_that_share_an_ensemble_wait_for_its_versions() -> None:
    """One labels its first frame (60 s) and both begin with what follows (24 s), label after 2 s
    of MD and hand in at 146 s. The first label is learnt until 178 s, the second until 218 s. The
    next labels are there at 178 + 6 + 60 and at 218 + 6 + 60, and are learnt until 244 + 48 and
    until 292 + 56; the last stretch of MD takes 12 s.
    """
    walkers = [replace(run(name), shares="A") for name in ("A-1", "A-2")]
    found = forecast(walkers, TIMES, pools(2, 2, 2))
    assert found.ends_s == {"A-1": pytest.approx(304.0), "A-2": pytest.approx(360.0)}
    assert found.wall_s == pytest.approx(360.0)
    assert found.labels == 1 + 2 * 2


def test_initial_data_of_a_shared_ensemble_are_labelled_once() -> None:
    shared = [replace(run(name), shares="A", n_initial=4) for name in ("A-1", "A-2", "A-3")]
    own = [replace(each, shares="") for each in shared]
    found = forecast(shared, TIMES, pools(4, 4, 4))
    assert found.labels == 1 + 4 + 3 * 2
    assert forecast(own, TIMES, pools(4, 4, 4)).labels == 3 * (3 + 4)
    n = [5, *range(6, 12)]  # labels known to each update, when none is taken together
    assert found.node_hours[Pool.GPU] <= 8 * sum(2.0 + each for each in n) * 0.5 / 3600


def test_each_material_has_its_own_ensemble() -> None:
    """Side by side, two materials take no longer than one; all of their runs end."""
    runs = [replace(run(f"{name}-{n}"), shares=name) for name in "AB" for n in (1, 2)]
    found = forecast(runs, TIMES, pools(4, 4, 4), most_open=4)
    assert found.wall_s == pytest.approx(360.0)
    assert set(found.ends_s) == {"A-1", "A-2", "B-1", "B-2"}


def test_chains_are_dealt_to_workers() -> None:
    found = forecast([run()], TIMES, pools(gpu=4, chains_per_task=2))
    assert found.wall_s == pytest.approx(200.0 + 2 * (3.0 + 4.0 + 5.0))


def test_start_and_latency_are_added() -> None:
    found = forecast([run()], TIMES, pools(start_s=8.0, latency_s=0.5))
    assert found.wall_s == pytest.approx(ALONE_S + 8.0 + 9 * 0.5)


def test_larger_materials_take_longer() -> None:
    found = forecast([run(n_atoms=20)], TIMES, pools())
    assert found.wall_s == pytest.approx(3 * 60.0 * 4 + 2 * 20.0 + 8 * (4.0 + 6.0 + 8.0))


def test_many_runs_are_bound_by_the_busiest_pool() -> None:
    """With a label worker alone in demand, the wall time is that of all labels and one tail."""
    found = forecast([run(str(number)) for number in range(40)], TIMES, pools(gpu=40, md=40))
    assert found.wall_s == pytest.approx(40 * 180.0, rel=0.05)
    assert found.bottleneck is Pool.DFT and found.busy[Pool.DFT] > 0.95
    wide = forecast([run(str(number)) for number in range(40)], TIMES, pools(40, 40, 40))
    assert wide.wall_s == pytest.approx(ALONE_S)


def test_a_material_has_its_share_however_many_runs_it_has() -> None:
    """Of one worker that takes 60 s for a label: the one run of B has every second one."""
    many = [replace(run(f"A-{number}"), material="A") for number in range(3)]
    one = replace(run("B-0"), material="B")
    found = forecast([*many, one], TIMES, pools(gpu=4, md=4))
    assert found.bottleneck is Pool.DFT
    assert found.ends_s["B-0"] < min(found.ends_s[each.name] for each in many)
    alike = forecast([*many, replace(one, material="A")], TIMES, pools(gpu=4, md=4))
    assert found.ends_s["B-0"] < 0.85 * alike.ends_s["B-0"]


def test_pools_that_share_cores_slow_each_other_down() -> None:
    """Four single-threaded tasks at once on two cores take twice as long, and no work is lost."""
    simulated = SimulatedPools(
        dict.fromkeys(Pool, 4), seconds=lambda _pool, request: request, answer=abs, cores=2
    )
    ends: list[float] = []
    for seconds in (1.0, 1.0, 2.0, 4.0):
        future = simulated.submit(Pool.MD, abs, seconds)
        simulated.follow(future, seconds)
    while simulated.take(0.0) is not None:
        ends.append(simulated.now())
    # 4 at half pace until both of 1 s are done at t = 2; then 2 at full pace.
    assert ends == pytest.approx([2.0, 2.0, 3.0, 5.0])
    assert simulated.busy[Pool.MD] == pytest.approx(sum(ends))


def test_a_run_is_left_with_the_labels_that_it_may_have() -> None:
    """The third label, at step 800, is not made: MD ends there."""
    found = forecast([replace(run(), most_labels=2)], TIMES, pools())
    assert found.labels == 2
    assert found.wall_s == pytest.approx(2 * 60.0 + 800 * 0.01 + 8 * (3.0 + 4.0))
    enough = forecast([replace(run(), most_labels=3)], TIMES, pools())
    assert enough.wall_s == pytest.approx(ALONE_S)
    initial = replace(run(), most_labels=6, n_initial=4)
    assert forecast([initial], TIMES, pools()).labels == 6


@pytest.mark.parametrize(("limit", "n_initial", "labels"), [(2, 0, 2 + 2 * 2), (6, 4, 6 + 2 * 2),
                                                            (1, 0, 1 + 2 * 1)])  # fmt: skip
def test_walkers_that_share_have_accounts_of_their_own(
    limit: int, n_initial: int, labels: int
) -> None:
    """The first frame and initial data are on that of the first walker alone."""
    walkers = [
        replace(run(f"A-{number}"), shares="A", most_labels=limit, n_initial=n_initial)
        for number in range(3)
    ]
    assert forecast(walkers, TIMES, pools()).labels == labels


@pytest.mark.parametrize("most_open", [1, 2])
def test_walkers_that_share_need_not_be_open_at_once(most_open: int) -> None:
    walkers = [replace(run(f"A-{number}"), shares="A") for number in range(3)]
    found = forecast(walkers, TIMES, pools(4, 4, 4), most_open=most_open)
    assert len(found.ends_s) == 3 and found.labels == 1 + 3 * 2


def seen_run(
    n_atoms: int, *, stretches: int = 3, seconds: float | None = None, labels: int = 3
) -> Any:
    """A run of 110 steps, the first ten before a label, whose times have a part that no atom adds
    to; labels take the cube of the atoms."""
    versions = np.arange(1, 4)
    later = stretches - 1
    spent = [9.0, *np.full(later, 100 * (0.002 + 0.001 * n_atoms) / max(1, later))]
    label_s = 1e-3 * n_atoms**3 if seconds is None else seconds
    data = SimpleNamespace(
        state=SimpleNamespace(checkpoint=SimpleNamespace(step=110)),
        labels=SimpleNamespace(seconds=np.full(labels, label_s), step=10 * np.arange(labels)),
        updates=SimpleNamespace(
            version=versions, n_members=np.full(3, 4), seconds=4 * (5.0 + 0.1 * n_atoms * versions)
        ),
        timing=SimpleNamespace(kind=("md",) * stretches, seconds=spent),
    )
    config = SimpleNamespace(
        dynamics=SimpleNamespace(timestep_fs=0.5, checkpoint_every_steps=10),
        material=SimpleNamespace(structure=str(n_atoms)),
    )
    initial = np.zeros(labels, dtype=bool)
    return SimpleNamespace(data=data, n_atoms=n_atoms, config=config, initial=initial)


def measured(
    monkeypatch: pytest.MonkeyPatch, *runs: Any, label_power: float | None = None
) -> TaskTimes:
    by_name = dict(enumerate(runs))
    monkeypatch.setattr("workflows.plan_times.load", lambda folder: by_name[int(folder.name)])
    monkeypatch.setattr("workflows.plan_times.is_run", lambda _folder: True)
    return measure([Path(str(name)) for name in by_name], label_power=label_power)


def test_times_go_with_the_size_as_they_do_in_the_measured_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = measured(monkeypatch, *map(seen_run, (4, 8, 12)))
    assert found.label_power == pytest.approx(3.0)
    for n in (4, 20):
        assert found.label_s(n) == pytest.approx(1e-3 * n**3)
        assert found.md_s(n, 50) == pytest.approx(50 * (0.002 + 0.001 * n))
        assert found.update_s(n, 7, 2) == pytest.approx(2 * (5.0 + 0.1 * n * 7))
    assert measured(monkeypatch, seen_run(4), seen_run(8), label_power=1.5).label_power == 1.5


def test_times_of_one_size_are_taken_to_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of what no atom adds to; a label goes with the square."""
    alike = measured(monkeypatch, seen_run(8))
    assert alike.label_s(16) == pytest.approx(4 * alike.label_s(8)) == pytest.approx(4 * 0.512)
    assert alike.md_s(16, 1) == pytest.approx(2 * alike.md_s(8, 1)) == pytest.approx(2 * 0.010)
    assert alike.update_s(16, 3, 4) == pytest.approx(2 * alike.update_s(8, 3, 4))
    assert alike.update_s(8, 3, 4) == pytest.approx(4 * (5.0 + 0.1 * 8 * 3))


def test_a_campaign_is_its_runs_and_what_they_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Walkers have MD and labels, the curator updates; a run that was not begun has nothing."""
    walker, curator = seen_run(4), seen_run(4)
    none = np.zeros(0)
    walker.data.updates = SimpleNamespace(version=none, n_members=none, seconds=none)
    curator.data.state.checkpoint.step = 0
    curator.data.timing = SimpleNamespace(kind=(), seconds=())
    found = {"runs/w1": walker, "runs/w2": walker, "runs/planned": None, "shared/M": curator}
    for name in found:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "structures").mkdir()
    (tmp_path / "campaign.yaml").touch()
    by_folder = {tmp_path / name: run for name, run in found.items()}
    monkeypatch.setattr("workflows.plan_times.load", by_folder.__getitem__)
    monkeypatch.setattr(
        "workflows.plan_times.is_run",
        lambda path: path not in (tmp_path, tmp_path / "runs/planned"),
    )
    times = measure([tmp_path])
    assert len(times.histories) == 2
    assert times.update_s(4, 2, 1) == pytest.approx(5.0 + 0.1 * 4 * 2)


def test_runs_that_tell_nothing_of_a_time_are_not_asked_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One stretch of MD waited for the pool; a walker that shares may have no label; and labels
    that are not computed take no time."""
    begun, unlabelled, free = (
        seen_run(8, stretches=1),
        seen_run(8, labels=0),
        seen_run(8, seconds=0),
    )
    found = measured(monkeypatch, seen_run(4), begun, unlabelled, free)
    assert found.md_s(4, 1) == pytest.approx(0.006)
    assert found.label_s(4) == pytest.approx(0.064)
    assert [len(history.times_fs) for history in found.histories] == [2, 2, 0, 2]
    for run_, lacks in ((begun, "MD after their first"), (unlabelled, "label that took time")):
        with pytest.raises(RunFolderError, match=f"have no {lacks}.*let one go on for longer"):
            measured(monkeypatch, run_)


def test_the_same_seed_gives_the_same_forecast() -> None:
    late = replace(TIMES, histories=(LabelHistory((900.0,), 1000.0),))
    runs = [run(str(number), n_steps=8000) for number in range(10)]
    first, second = (forecast(runs, late, pools(), seed=3) for _ in range(2))
    assert first.wall_s == second.wall_s and first.labels == second.labels


def test_times_given_by_hand_hold_for_any_size_and_length() -> None:
    times = given(label=60.0, md=0.01, update=(2.0, 1.0), labels=4)
    found = forecast([run(n_atoms=500, n_steps=900)], times, pools())
    assert found.labels == 4
    assert found.wall_s == pytest.approx(4 * 60.0 + 9.0 + 8 * (3.0 + 4.0 + 5.0 + 6.0))
    with pytest.raises(ConfigError, match="--from RUN"):
        given(label=None, md=0.01, update=(2.0, 1.0), labels=4)


@pytest.mark.parametrize("wrong", [-5.0, np.nan, np.inf])
def test_amounts_that_are_negative_or_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match=r"--label-s is .*, expected 0 or a positive number"):
        given(label=wrong, md=0.01, update=(2.0, 1.0), labels=4)
    with pytest.raises(ConfigError, match="--update-per-label-s is "):
        given(label=60.0, md=0.01, update=(2.0, wrong), labels=4)
    with pytest.raises(ConfigError, match="--label-power is "):
        measure([], label_power=wrong)


def test_times_measured_on_a_run_are_those_of_its_tasks(tmp_path: Path) -> None:
    """Against the run file's own tables, of a real run of water."""
    folders = [tmp_path / "water"]
    config = parse_config(
        {
            "material": {"structure": "H2O"},
            "threshold": {"energy_kcal_per_mol": 2.0},
            "dynamics": {"temperature_K": 300, "length_ps": 0.005},
            "sampler": {"chains": 2, "trajectories": 2},
            "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
            "calibration": {"audit_every_steps": 4},
        }
    )
    fine_tune([config], folders=folders, inline=True)
    found, data = measure(folders), read_run(folders[0])
    assert found.n_atoms == 3 and found.label == pytest.approx(np.median(data.labels.seconds))
    assert found.histories == (LabelHistory(tuple(data.labels.step[1:] * 0.5), 5.0, "H2O"),)
    updates = sum(found.update_s(3, n, 2) for n in data.updates.version)
    assert updates == pytest.approx(sum(data.updates.seconds), rel=0.3)
    spent = [
        s for kind, s in zip(data.timing.kind, data.timing.seconds, strict=True) if kind == "md"
    ]
    first = int(data.labels.step[1])  # with the start of a worker, on pools
    assert first < 10 and found.md_s(3, 10 - first) == pytest.approx(sum(spent[1:]))
    with pytest.raises(RunFolderError, match="holds no run"):
        measure([tmp_path / "none"])
