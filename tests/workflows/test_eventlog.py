"""The structured log: every kind of event is one line of JSON, with the keys that it promises."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canned import Answers, first_state, plan, play

from bnnflow.config import parse_config
from bnnflow.data import read_sessions
from bnnflow.records import (
    Asked,
    Calibration,
    Commit,
    Decision,
    Failed,
    Failure,
    FailureCause,
    Label,
    Labelled,
    Phase,
    PoolSize,
    Prediction,
    Reason,
    Spent,
)
from bnnflow.units import from_kcal_per_mol
from executors.inline import InlineExecutor
from workflows.eventlog import EVENTS, HEAD, EventLog, begin_session, log_lines
from workflows.otf import fine_tune

CONFIG = parse_config(
    {
        "material": {"structure": "H2O", "name": "water"},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "dynamics": {"length_ps": 0.1, "temperature_K": 300.0},
        "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
        "sampler": {"chains": 5},
    }
)


def log_of(lines: list[str], step: int = 0) -> EventLog:
    return EventLog("run-1", "water", 0.5, lines.append, step)


def parsed(line: str) -> dict[str, Any]:
    """One line as strict JSON."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    assert "\n" not in line
    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def everything(tmp_path: Path) -> list[str]:
    """Lines of every kind of event, from a whole run of canned answers and a few more."""
    lines: list[str] = []
    log = begin_session(tmp_path, CONFIG, InlineExecutor(chains=2), step=0, write=lines.append)
    for yielded in play(fine_tune(first_state(), plan()), Answers([3])):
        if isinstance(yielded, Commit):
            log.show(yielded)
    failure = Failure("label", FailureCause.TIMED_OUT, 'two\nlines, "quoted"', "labels/0007")
    log.show(Commit(first_state(), (Failed(failure, "frame dropped"), Spent("md", 1e9, 2.5))))
    log.notice("pool dft: a job waits")
    log.leave("20 labels")
    log.stop(RuntimeError("no\nSCF"))
    return lines


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    return everything(tmp_path)


def test_every_kind_of_event_is_one_line_with_its_keys_in_order(lines: list[str]) -> None:
    found = [parsed(line) for line in lines]
    assert {row["event"] for row in found} == set(EVENTS)
    for row in found:
        assert tuple(row) == (*HEAD, *EVENTS[row["event"]])
        assert (row["run"], row["material"]) == (found[0]["run"], "water")
        assert datetime.fromisoformat(row["time"]).utcoffset().total_seconds() == 0


def test_the_page_names_every_event_and_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    assert {*HEAD, *EVENTS, *(key for keys in EVENTS.values() for key in keys)} <= named


def test_numbers_are_in_the_units_of_their_keys() -> None:
    lines: list[str] = []
    energy = from_kcal_per_mol(1.0)
    frame = first_state().checkpoint.structure
    forces = np.zeros((3, 3))
    label = Label(frame, -1.0, forces, None, "PBE", "labels/0001", 7.5, "node1")
    said = Prediction(0.0, 2.0 * energy, 0.0, np.zeros(2), forces, forces)
    labelled = Labelled("0001", 12, label, said, 0.0, -0.5 * energy, Calibration(1.5, 10.0, 1, 0.4))
    decision = Decision(13, 6.5, 3.0 * energy, energy, 0.9, True, Reason.UNCERTAIN)
    log_of(lines).show(Commit(first_state(), (labelled, Asked(decision))))
    first, second = map(parsed, lines)
    assert (first["step"], first["seconds"], first["host"]) == (12, 7.5, "node1")
    assert first["error_kcal_per_mol"] == pytest.approx(-0.5)
    assert first["energy_std_kcal_per_mol"] == pytest.approx(2.0)
    assert (second["step"], second["limit_kcal_per_mol"]) == (13, pytest.approx(1.0))


def test_what_is_not_known_is_null() -> None:
    lines: list[str] = []
    first = Decision(0, 0.0, float("nan"), 1.0, float("nan"), True, Reason.FIRST_FRAME)
    log_of(lines).show(Commit(first_state(), (Asked(first),)))
    row = parsed(lines[0])
    assert row["probability"] is None and row["energy_std_kcal_per_mol"] is None


def test_a_run_is_done_once() -> None:
    lines: list[str] = []
    log = log_of(lines)
    done = replace(first_state(), phase=Phase.DONE)
    for _ in range(2):
        log.show(Commit(done, ()))
    assert [parsed(line)["event"] for line in lines] == ["done"]


def test_a_session_is_noted_with_its_pools(tmp_path: Path) -> None:
    """Five chains, two in a task: an update is dealt to three tasks."""
    folder = tmp_path / "run-1"
    folder.mkdir()
    for _ in range(2):
        begin_session(folder, CONFIG, InlineExecutor(chains=2), step=4)
    one, two = read_sessions(folder)
    assert (one.site, one.update_tasks, set(one.pools)) == ("inline", 3, {"gpu", "dft", "md"})
    assert isinstance(one.pools["dft"], PoolSize) and one.pools["dft"].workers == 1
    assert one.start_s <= two.start_s
    rows = [parsed(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(row["event"], row["step"]) for row in rows] == [("started", 4)] * 2


def test_a_line_cut_short_is_no_session(tmp_path: Path) -> None:
    begin_session(tmp_path, CONFIG, InlineExecutor(), step=0)
    with (tmp_path / "sessions.jsonl").open("a") as file:
        file.write('{"start_s": 1.0, "si')
    assert len(read_sessions(tmp_path)) == 1
    assert read_sessions(tmp_path / "elsewhere") == ()


def test_lines_of_a_campaign_are_also_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "campaign" / "runs" / "water"
    folder.mkdir(parents=True)
    log_lines(folder)("one")
    assert not (tmp_path / "campaign" / "log.jsonl").exists()
    (tmp_path / "campaign" / "campaign.yaml").touch()
    (tmp_path / "campaign" / "structures").mkdir()
    log_lines(folder)("two")
    assert (folder / "log.jsonl").read_text() == "one\ntwo\n"
    assert (tmp_path / "campaign" / "log.jsonl").read_text() == "two\n"
