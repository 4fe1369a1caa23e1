"""Campaigns whose states, rates and costs are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import run_building as building
from made_runs import made, open_made, put, session, spent

from bnnflow.analysis.campaign import Watcher
from bnnflow.analysis.campaign.costs import (
    asked_times_ps,
    label_rate,
    labels_before_md,
    to_go,
)
from bnnflow.analysis.campaign.rows import RunRow
from bnnflow.analysis.campaign.table import campaign_table
from bnnflow.analysis.criteria import calibration_figures
from bnnflow.analysis.run import load
from bnnflow.analysis.status import of_run
from bnnflow.data import read_gist
from bnnflow.data.gist import whole_gist
from bnnflow.data.headline import read_headline, write_headline
from bnnflow.errors import RunFolderError
from bnnflow.records import Calibration, Commit, Estimates, Phase, PoolSize
from bnnflow.uncertainty import largest_trusted_std, predictive_std

SPANS = (
    spent("label", 0.0, 10.0),
    spent("update", 10.0, 20.0),
    spent("queued", 30.0, 5.0),
    spent("md", 35.0, 4.0),
    spent("idle", 39.0, 1.0),
)


def look(*folders: Path) -> dict[str, RunRow]:
    return {row.name: row for row in Watcher(folders).look().rows}


def log(folder: Path, *events: dict[str, str]) -> None:
    lines = [json.dumps({"time": "now", **event}) + "\n" for event in events]
    (folder / "log.jsonl").write_text("".join(lines), encoding="utf-8")


def test_states_of_runs(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made(runs / "done", 2, phase=Phase.DONE)
    made(runs / "interrupted", 1)
    made(runs / "fresh")
    (runs / "planned").mkdir()
    log(made(runs / "failed", 1), {"event": "started"}, {"event": "stopped", "message": "no SCF"})
    log(made(runs / "enough", 1), {"event": "left", "message": "20 labels"}, {"event": "spent"})
    (runs / "damaged" / "commits").mkdir(parents=True)
    (runs / "damaged" / "commits" / "000000.h5").write_bytes(b"nothing")
    with open_made(runs / "driven", 1):
        found = {name: (row.state, row.reason) for name, row in look(tmp_path).items()}
    damaged = found.pop("damaged")
    assert damaged[0] == "unreadable" and "damaged" in damaged[1]
    assert found == {
        "done": ("done", ""),
        "driven": ("running", ""),
        "enough": ("left", "20 labels"),
        "failed": ("stopped", "no SCF"),
        "fresh": ("not started", ""),
        "interrupted": ("stopped", "interrupted"),
        "planned": ("not started", ""),
    }


def test_materials_that_the_campaign_set_aside_are_shown(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "good", 1, SPANS)
    text = "set_aside:\n- {name: bad, origin: here, reason: two atoms in one place}\n"
    (tmp_path / "campaign.yaml").write_text(text, encoding="utf-8")
    status = Watcher([tmp_path]).look()
    assert (status.rows[1].state, status.rows[1].reason) == ("set aside", "two atoms in one place")
    assert status.not_estimated == 0


def test_figures_of_a_run(tmp_path: Path) -> None:
    row = look(made(tmp_path / "water", 2, SPANS))["water"]
    assert (row.material, row.labels, row.md_time_ps, row.md_length_ps) == (
        "water", 2, pytest.approx(0.004), 0.008,
    )  # fmt: skip
    assert row.labels_per_ps == pytest.approx(1 / 0.004)
    assert row.last_labels_per_ps == pytest.approx(1 / 0.001)
    assert (row.above, row.asked) == (0, 1)  # 0.02 eV is 0.46 kcal/mol; K is 1
    assert row.seconds == pytest.approx(
        {"md": 4.0, "label": 10.0, "update": 20.0, "queued": 5.0, "idle": 1.0, "explore": 0.0}
    )
    assert row.failures == 0


@pytest.mark.parametrize("use", ["requested", "audit", "both"])
def test_the_calibration_shown_is_the_one_that_decides(tmp_path: Path, use: str) -> None:
    """As the report of the run itself has it."""
    audit = Estimates(audit=Calibration(1.5, 10.0, count=8, sum_squares=72.0))
    with open_made(tmp_path / "water", 2, SPANS, use=use) as store:
        store.commit(Commit(replace(store.state, estimates=audit), ()))
    row, run = look(tmp_path / "water")["water"], load(tmp_path / "water")
    assert run.config.calibration.use == use
    std = read_gist(tmp_path / "water").last_std
    assert row.energy_std_over_limit == pytest.approx(std / run.limit)
    assert row.widening == pytest.approx(predictive_std(run.calibration, std=1.0))
    assert of_run(run)["calibration"] == calibration_figures(run.calibration)
    requested = largest_trusted_std(run.data.state.calibration, threshold=run.threshold)
    assert (run.limit == pytest.approx(requested)) == (use == "requested")


def test_costs_are_seconds_times_cores(tmp_path: Path) -> None:
    """Two labels of 1.5 s on 16 cores; two updates of 4 task seconds; MD by the coordinator."""
    used = Watcher([made(tmp_path / "run", 2, SPANS)]).look().used
    assert used["dft"].core_hours == pytest.approx(3.0 * 16 / 3600)
    assert used["gpu"].core_hours == pytest.approx(8.0 * 2 / 3600)
    assert used["gpu"].accelerator_hours == pytest.approx(8.0 * 0.5 / 3600)
    assert used["md"].core_hours == pytest.approx(4.0 / 3600)


def test_costs_of_sessions_on_different_sites(tmp_path: Path) -> None:
    """10 s of labels on 16 cores, 30 s on 64: 52 cores on average."""
    spans = (spent("label", 0.0, 10.0), spent("label", 100.0, 30.0))
    sessions = (session(), session(50.0, dft=PoolSize(workers=1, cores=64)))
    status = Watcher([made(tmp_path / "run", 1, spans, sessions=sessions)]).look()
    assert status.used["dft"].core_hours == pytest.approx(1.5 * 52 / 3600)
    assert status.workers["dft"] == 1


def test_what_is_to_go(tmp_path: Path) -> None:
    """0.004 ps left at 1000 labels per ps and 1000 s of MD per ps."""
    status = Watcher([made(tmp_path / "run", 2, SPANS)]).look()
    (needed,) = status.remaining
    assert needed.labels == pytest.approx(4.0)
    assert needed.wall_s == pytest.approx(4.0 + 4 * 1.5 + 4 * 20.0)
    assert status.needed["md"].seconds == pytest.approx(4.0)
    assert status.needed["dft"].core_hours == pytest.approx(4 * 1.5 * 16 / 3600)
    assert status.needed["gpu"].seconds == pytest.approx(4 * 4.0)
    assert status.least_wall_s == pytest.approx(needed.wall_s)


def test_what_is_to_go_before_md_counts_initial_data_that_share_an_update(tmp_path: Path) -> None:
    """Rates as above; of five labels of initial data one is there: four more, at once."""
    known = Watcher([made(tmp_path / "run", 2, SPANS)]).look().seen[0]
    before = [
        labels_before_md(replace(known.gist, phase=phase, n_requests=2), 5)
        for phase in (Phase.EXPLORE, Phase.INITIAL, Phase.UPDATE, Phase.PROPAGATE)
    ]
    assert before == [(0, 4), (0, 4), (0, 0), (0, 0)]
    assert labels_before_md(replace(known.gist, label_step=np.zeros(0, int)), 5) == (1, 5)
    found = to_go(0.004, (0, 4), known.rate, known.sizes)
    assert found.labels == pytest.approx(4.0 + 4.0)
    assert found.wall_s == pytest.approx(4.0 + (4 + 1) * 1.5 + (4 + 1) * 20.0)
    assert found.usage["dft"].seconds == pytest.approx(8 * 1.5)
    assert found.usage["gpu"].seconds == pytest.approx((4 + 1) * 4.0)
    first = to_go(0.004, (1, 4), known.rate, known.sizes)
    assert first.labels == pytest.approx(9.0)
    assert first.usage["gpu"].seconds == pytest.approx((4 + 1) * 4.0)


def test_initial_data_are_no_rate_of_labels(tmp_path: Path) -> None:
    gist = Watcher([made(tmp_path / "run", 2, SPANS)]).look().seen[0].gist
    times = np.array([0.0, 0.0, 0.0, 2.0, 4.0])
    reasons = ("first_frame", "initial", "initial", "uncertain", "uncertain")
    found = asked_times_ps(replace(gist, label_time_fs=times, label_reason=reasons))
    assert found == pytest.approx([0.002, 0.004])
    assert label_rate(found, 0.004) == pytest.approx(2 / 0.004)


def test_making_initial_data_fills_the_md_pool_and_is_no_rate_of_md(tmp_path: Path) -> None:
    spans = (spent("explore", 0.0, 8.0), spent("md", 8.0, 4.0), spent("label", 12.0, 4.0))
    status = Watcher([made(tmp_path / "run", 1, spans)]).look()
    assert status.used["md"].seconds == pytest.approx(12.0)
    assert status.occupancies["md"].share(1) == pytest.approx(12.0 / 16.0)
    assert status.seen[0].rate.md_s_per_ps == pytest.approx(4.0 / 0.002)


def test_a_run_without_rates_goes_by_those_of_the_others(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "known", 2, SPANS)
    made(tmp_path / "runs" / "new")
    made(tmp_path / "runs" / "done", 1, phase=Phase.DONE)
    (tmp_path / "runs" / "planned").mkdir()
    status = Watcher([tmp_path]).look()
    known, new = status.remaining
    assert known.labels == pytest.approx(4.0)
    assert new.labels == pytest.approx(1 + 0.008 * 500)  # the done run asked for none
    assert status.not_estimated == 1  # nothing is known of the length of the planned one


def test_nothing_to_go_by(tmp_path: Path) -> None:
    status = Watcher([made(tmp_path / "new")]).look()
    assert (status.least_wall_s, status.not_estimated) == (None, 1)
    assert "not known yet; 1 run without" in campaign_table(status)


def test_occupancy_of_two_runs(tmp_path: Path) -> None:
    """Labels from 0 to 10 and from 5 to 15 s, an update of two tasks from 10 to 20 s."""
    made(tmp_path / "runs" / "a", 1, (spent("label", 0.0, 10.0), spent("update", 10.0, 10.0)))
    made(tmp_path / "runs" / "b", 1, (spent("queued", 0.0, 5.0), spent("label", 5.0, 10.0)))
    found = Watcher([tmp_path]).look().as_dict()
    assert found["wall_s"] == pytest.approx(20.0)
    shares = {p: f["share_of_wall_time_with_k_tasks"] for p, f in found["pools"].items()}
    assert shares["dft"] == pytest.approx({"0": 0.25, "1": 0.5, "2": 0.25})
    assert shares["gpu"] == pytest.approx({"0": 0.5, "2": 0.5})
    assert shares["md"] == pytest.approx({"0": 1.0})
    assert found["pools"]["dft"]["mean_tasks"] == pytest.approx(1.0)


def test_only_changed_runs_are_read_again(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        made(tmp_path / "runs" / name, 1)
    watcher = Watcher([tmp_path])
    watcher.look()
    assert watcher.reads == 3
    watcher.look()
    assert watcher.reads == 3
    with open_made(tmp_path / "runs" / "d", 1) as store:
        assert [row.labels for row in watcher.look().rows] == [1, 1, 1, 1]
        put(store, 2)
        assert [row.labels for row in watcher.look().rows] == [1, 1, 1, 2]
        assert (watcher.reads, watcher.look().rows[3].state) == (5, "running")
    assert (watcher.look().rows[3].state, watcher.reads) == ("stopped", 5)


def test_a_run_under_change_is_read_at_the_next_look(tmp_path: Path) -> None:
    """Not by all its commits, unless whoever wrote it is gone."""
    with open_made(tmp_path / "run", 1) as store:
        watcher = Watcher([tmp_path / "run"])
        watcher.look()
        put(store, 2)
        clean = read_headline(tmp_path / "run" / "run.h5")
        write_headline(tmp_path / "run" / "run.h5", {"bnnflow": "run", "state": "replaying"})
        assert (watcher.look().rows[0].labels, watcher.reads) == (1, 1)
        write_headline(tmp_path / "run" / "run.h5", clean)
        assert (watcher.look().rows[0].labels, watcher.reads) == (2, 2)
    write_headline(tmp_path / "run" / "run.h5", {"bnnflow": "run", "state": "replaying"})
    assert (watcher.look().rows[0].labels, watcher.reads) == (2, 3)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, other = made(tmp_path / "x" / "run", 1), made(tmp_path / "y" / "run", 1)
    assert list(look(one, other)) == [str(one), str(other)]
    assert list(look(one, one)) == ["run"]


def test_a_folder_without_runs_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        Watcher([tmp_path])


@pytest.mark.parametrize("commits", [0, 1, 3])
def test_the_gist_is_that_of_the_whole_run(tmp_path: Path, commits: int) -> None:
    folder = made(tmp_path / "run", commits, SPANS if commits else ())
    assert building.same(read_gist(folder), whole_gist(folder))


def test_the_gist_of_a_run_file_that_is_damaged_or_gone(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", 2, SPANS)
    whole = read_gist(folder)
    with h5py.File(folder / "run.h5", "r+") as file:
        del file["labels/seconds"]
    assert building.same(read_gist(folder), whole)
    (folder / "run.h5").unlink()
    assert building.same(read_gist(folder), whole)


def test_last_std_behind_a_long_stretch_without_one(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", 1)
    with h5py.File(folder / "run.h5", "r+") as file:
        del file["state/prediction"]
        table = file["trajectory/energy_std"]
        table.resize(500, axis=0)
        table[:] = np.append(0.25, np.full(499, np.nan))
    assert read_gist(folder).last_std == 0.25


def test_status_is_strict_json_and_a_table_at_every_stage(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "new")
    (tmp_path / "runs" / "planned").mkdir()
    for number in range(2):
        status = Watcher([tmp_path]).look()
        found = status.as_dict()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        table = campaign_table(status)
        assert "nan" not in table and "None" not in table
        made(tmp_path / "runs" / f"later-{number}", 3, SPANS)


def test_a_screen_has_room_for_those_that_ask_for_a_look(tmp_path: Path) -> None:
    for number in range(20):
        made(tmp_path / "runs" / f"done-{number}", 1, phase=Phase.DONE)
    log(made(tmp_path / "runs" / "z", 1), {"event": "stopped", "message": "the disk is full today"})
    lines = campaign_table(Watcher([tmp_path]).look(), height=20).splitlines()
    assert len(lines) <= 20
    assert any(line.startswith("z ") and "the disk is full today" in line for line in lines)
    assert lines[-1].startswith("and ") and lines[-1].endswith(" done")
