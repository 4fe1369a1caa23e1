"""Where Parsl's files go, and that they do not grow without bound."""

import logging

import pytest

from executors import logs
from executors.logs import BoundedLogging
from executors.scratch import KEPT, scratch_folder


def test_below_the_run_folder_and_the_last_starts_are_kept(tmp_path):
    for number in (1, 2, 9, 10, 11):
        (tmp_path / "parsl" / f"{number:03}").mkdir(parents=True)
    with scratch_folder(tmp_path) as folder:
        assert folder == tmp_path / "parsl"
        left = sorted(path.name for path in folder.iterdir())
    assert left == ["010", "011"]
    assert len(left) == KEPT - 1


@pytest.mark.parametrize("name", ["my run", "a;b", "$HOME", "ä"])
def test_a_path_that_a_shell_would_split_is_avoided(tmp_path, name):
    with scratch_folder(tmp_path / name) as folder:
        assert tmp_path not in folder.parents
        assert folder.is_dir()
    assert not folder.exists()


def test_without_a_run_folder_nothing_stays():
    with scratch_folder(None) as folder:
        (folder / "000").mkdir()
    assert not folder.exists()


def test_a_log_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_BYTES", 2000)
    undo = BoundedLogging().initialize_logging(log_dir=tmp_path / "x", log_name="worker")
    for number in range(500):
        logging.getLogger("parsl.somewhere").info("line %d", number)
    undo()
    files = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert files == ["worker.log", "worker.log.1"]
    assert sum(path.stat().st_size for path in (tmp_path / "x").iterdir()) <= 4000
    assert "line 499" in (tmp_path / "x" / "worker.log").read_text()
