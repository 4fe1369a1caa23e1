"""Forecasts of campaigns small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnflow.config import parse_config
from bnnflow.data import read_run
from bnnflow.errors import ConfigError, RunFolderError
from executors.base import Pool
from workflows.plan_times import LabelHistory, TaskTimes, given, measure
from workflows.planning import PlannedPools, PlannedRun, forecast
from workflows.session import fine_tune
from workflows.simulation import SimulatedPools

THREE_LABELS = LabelHistory((0.0, 100.0, 400.0), 1000.0)
TIMES = TaskTimes(
    n_atoms=10.0, label=60.0, md=0.01, update=(2.0, 1.0), histories=(THREE_LABELS,), label_power=2.0
)


def pools(gpu: int = 1, dft: int = 1, md: int = 1, **more: object) -> PlannedPools:
    workers = {Pool.GPU: gpu, Pool.DFT: dft, Pool.MD: md}
    return PlannedPools(workers, {Pool.GPU: 0.5, Pool.DFT: 2.0, Pool.MD: 0.1}, **more)  # type: ignore[arg-type]


def run(name: str = "one", n_atoms: int = 10, n_steps: int = 2000) -> PlannedRun:
    return PlannedRun(name, n_atoms, n_steps, timestep_fs=0.5, n_chains=8)


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


def test_chains_are_dealt_to_workers() -> None:
    found = forecast([run()], TIMES, pools(gpu=4, chains_per_task=2))
    assert found.wall_s == pytest.approx(200.0 + 2 * (3.0 + 4.0 + 5.0))


def test_start_and_latency_are_added() -> None:
    found = forecast([run()], TIMES, pools(start_s=8.0, latency_s=0.5))
    assert found.wall_s == pytest.approx(ALONE_S + 8.0 + 9 * 0.5)


def test_larger_materials_take_longer() -> None:
    found = forecast([run(n_atoms=20)], TIMES, pools())
    assert found.wall_s == pytest.approx(3 * 60.0 * 4 + 2 * (20.0 + 96.0))


def test_many_runs_are_bound_by_the_busiest_pool() -> None:
    """With a label worker alone in demand, the wall time is that of all labels and one tail."""
    found = forecast([run(str(number)) for number in range(40)], TIMES, pools(gpu=40, md=40))
    assert found.wall_s == pytest.approx(40 * 180.0, rel=0.05)
    assert found.bottleneck is Pool.DFT and found.busy[Pool.DFT] > 0.95
    wide = forecast([run(str(number)) for number in range(40)], TIMES, pools(40, 40, 40))
    assert wide.wall_s == pytest.approx(ALONE_S)


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


def test_label_times_follow_a_measured_run() -> None:
    random = np.random.default_rng(0)
    assert THREE_LABELS.stretched(1000.0, random) == [0.0, 100.0, 400.0]
    assert THREE_LABELS.stretched(300.0, random) == [0.0, 100.0]
    late = LabelHistory((0.0, 600.0, 900.0), 1000.0)
    counts = [len(late.stretched(6000.0, random)) for _ in range(300)]
    assert np.mean(counts) == pytest.approx(3 + 2 / 500.0 * 5000.0, rel=0.05)


def test_the_same_seed_gives_the_same_forecast() -> None:
    late = TaskTimes(10.0, 60.0, 0.01, (2.0, 1.0), (LabelHistory((0.0, 900.0), 1000.0),))
    runs = [run(str(number), n_steps=8000) for number in range(10)]
    first, second = (forecast(runs, late, pools(), seed=3) for _ in range(2))
    assert first.wall_s == second.wall_s and first.labels == second.labels


def test_times_given_by_hand_hold_for_any_size_and_length() -> None:
    times = given(label=60.0, md=0.01, update=(2.0, 1.0), labels=4, power=3.0)
    found = forecast([run(n_atoms=500, n_steps=900)], times, pools())
    assert found.labels == 4
    assert found.wall_s == pytest.approx(4 * 60.0 + 9.0 + 8 * (3.0 + 4.0 + 5.0 + 6.0))
    with pytest.raises(ConfigError, match="--from RUN"):
        given(label=None, md=0.01, update=(2.0, 1.0), labels=4, power=3.0)


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
    assert found.histories == (LabelHistory(tuple(data.labels.step * 0.5), 5.0),)
    updates = sum(found.update_s(3, n, 2) for n in data.updates.version)
    assert updates == pytest.approx(sum(data.updates.seconds), rel=0.3)
    spent = [
        s for kind, s in zip(data.timing.kind, data.timing.seconds, strict=True) if kind == "md"
    ]
    assert found.md_s(3, 10) == pytest.approx(sum(spent[1:]))
    with pytest.raises(RunFolderError, match="holds no run"):
        measure([tmp_path / "none"])
