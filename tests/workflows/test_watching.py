"""`bnnflow status` and `bnnflow report` of runs and campaigns, as called on the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflows import cli, watching

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "data"), str(ROOT / "tests" / "analysis" / "campaign")]

from made_runs import made, open_made, put, spent  # noqa: E402

SPANS = (spent("label", 0.0, 10.0), spent("update", 10.0, 20.0), spent("md", 30.0, 4.0))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of two runs, not to be changed."""
    folder = tmp_path_factory.mktemp("campaign")
    made(folder / "runs" / "one", 2, SPANS)
    made(folder / "runs" / "two", 1, SPANS)
    return folder


@pytest.fixture
def campaign(made_once: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(made_once, tmp_path / "campaign"))


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> str:
    monkeypatch.setattr(sys, "argv", ["bnnflow", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    return captured.out


def test_status_of_a_run_is_as_ever(campaign, monkeypatch, capsys) -> None:
    out = call(monkeypatch, capsys, "status", campaign / "runs" / "one", "--json")
    assert json.loads(out)["material"] == "one"
    assert "threshold K" in call(monkeypatch, capsys, "status", campaign / "runs" / "one")


def test_status_of_a_campaign_and_of_several_runs(campaign, monkeypatch, capsys) -> None:
    whole = call(monkeypatch, capsys, "status", campaign, "--json")
    some = call(monkeypatch, capsys, "status", *sorted((campaign / "runs").iterdir()), "--json")
    assert json.loads(whole) == json.loads(some)
    assert [row["name"] for row in json.loads(whole)["runs"]] == ["one", "two"]
    table = call(monkeypatch, capsys, "status", campaign)
    assert "runs    2: 2 stopped" in table and re.search(r"^one +stopped: interrupted", table, re.M)


def test_reports_of_a_campaign_link_to_those_of_its_runs(campaign, monkeypatch, capsys) -> None:
    call(monkeypatch, capsys, "report", campaign / "runs" / "one")
    assert call(monkeypatch, capsys, "report", campaign) == f"{campaign}/report.html\n"
    text = (campaign / "report.html").read_text(encoding="utf-8")
    assert 'href="runs/one/report.html"' in text and "runs/two/report.html" not in text
    pages = call(monkeypatch, capsys, "report", campaign, "--runs").split()
    assert len(pages) == 3 and all(Path(page).is_file() for page in pages)


def test_watching_as_json_is_one_object_a_line_until_ctrl_c(campaign, monkeypatch, capsys) -> None:
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", rest)
    out = call(monkeypatch, capsys, "status", campaign, "--watch", "--every", "2.5", "--json")
    assert [len(json.loads(line)["runs"]) for line in out.splitlines()] == [2, 2, 2]
    assert rests == [2.5] * 3


@pytest.mark.timeout(120)
def test_watching_on_a_terminal_draws_over_the_screen_before(tmp_path: Path) -> None:
    """A second label is seen while the run is driven; Ctrl-C ends it with code 0."""
    store = open_made(tmp_path / "runs" / "one", 1, SPANS)
    code = "from workflows.cli import main; main()"
    command = [sys.executable, "-c", code, "status", str(tmp_path), "--watch", "--every", "0.3"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "LINES": "20"}
    with subprocess.Popen(
        command, stdout=theirs, env=environment, cwd=tmp_path, preexec_fn=_heed_ctrl_c
    ) as shown:
        os.close(theirs)
        first = _read_until(ours, "running")
        put(store, 2)
        second = _read_until(ours, r"0\.004/0\.008 +2 ")
        shown.send_signal(signal.SIGINT)
    store.close()
    assert shown.returncode == 0
    screens = (first + second).split(watching.HOME)[1:]
    assert len(screens) >= 2
    for line in screens[0].replace(watching.TO_SCREEN_END, "").splitlines():
        assert len(line.replace(watching.TO_LINE_END, "")) <= 100


def _heed_ctrl_c() -> None:
    """A shell that starts the tests in the background has them, and what they start, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read_until(descriptor: int, words: str) -> str:
    text, deadline = "", time.monotonic() + 60.0
    while not re.search(words, text) and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 1.0)[0]:
            text += os.read(descriptor, 65536).decode(errors="replace")
    assert re.search(words, text), text
    return text
