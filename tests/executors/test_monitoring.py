"""Parsl's own monitoring: off unless a site file asks for it; its database has the tasks."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bnnflow.errors import ConfigError
from executors import monitoring
from executors.base import Pool
from executors.schema.monitoring import MonitoringConfig
from executors.site import parse_site

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from pathlib import Path
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.probe import probe
from executors.site import parse_site

def main():
    one = {"workers_per_node": 1, "threads_per_worker": 1}
    pools = {pool.value: one for pool in Pool}
    site = parse_site({"name": "here", "monitoring": {"enabled": True}, "pools": pools})
    with ParslExecutor(site, Path(sys.argv[1])) as executor:
        for future in [executor.submit(pool, probe, ()) for pool in Pool for _ in range(2)]:
            future.result(300)
        print("answered", flush=True)
        time.sleep(float(sys.argv[2]))

if __name__ == "__main__":
    main()
"""


def program(folder: Path, rest_s: float) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, str(script), str(folder / "run"), str(rest_s)]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_off_by_default() -> None:
    assert monitoring.monitoring_hub(parse_site({"name": "here"}).monitoring) is None


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'bnnflow\[monitoring\]'"):
        monitoring.monitoring_hub(MonitoringConfig(enabled=True))


def test_keys_of_the_site_file() -> None:
    with pytest.raises(ConfigError, match="did you mean monitoring"):
        parse_site({"name": "here", "monitoring": {"enable": True}})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_database_has_the_tasks(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with program(tmp_path, 0.0) as running:
        _, words = running.communicate()
    assert running.returncode == 0 and words == ""
    with closing(sqlite3.connect(tmp_path / "run" / "parsl" / "monitoring.db")) as database:
        tries = database.execute("select task_executor from try order by task_executor").fetchall()
        ended = database.execute(
            "select count(*) from status where task_status_name = 'exec_done'"
        ).fetchone()
        whole = database.execute("select tasks_completed_count from workflow").fetchone()
    assert tries == [(pool.value,) for pool in sorted(Pool) for _ in range(2)]
    assert (ended, whole) == ((6,), (6,))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_its_process_ends_with_a_coordinator_that_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with program(tmp_path, 600.0) as running:
        assert running.stdout is not None and running.stdout.readline() == "answered\n"
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        mine = [pid for pid in children if "monitoring" in _command(pid)]
        assert mine
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60.0
    while any("monitoring" in _command(pid) for pid in mine) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any("monitoring" in _command(pid) for pid in mine)


def _command(pid: str) -> str:
    """Its command line, "" once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
