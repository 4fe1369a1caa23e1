"""Creating, opening, committing: what comes back, and what is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import run_building as building

from bnnflow.data import create_run, is_run, open_run, read_run
from bnnflow.errors import RunFolderError
from bnnflow.records import Commit


def create(folder: Path, config: str = building.CONFIG) -> None:
    """Make a run and close it."""
    create_run(
        folder, config_text=config, metadata=building.METADATA, state=building.state(0)
    ).close()


def test_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    building.run_with(tmp_path / "run", 2).close()
    with open_run(tmp_path / "run") as store:
        assert store.number == 2
        assert building.same(store.state, building.state(2))


def test_noise_stream_goes_on_where_it_was(tmp_path: Path) -> None:
    building.run_with(tmp_path / "run", 1).close()
    with open_run(tmp_path / "run") as store:
        saved = store.state.checkpoint.rng
    expected, found = np.random.default_rng(), np.random.default_rng()
    expected.bit_generator.state = building.checkpoint(1).rng
    found.bit_generator.state = dict(saved)
    assert np.array_equal(found.normal(size=100), expected.normal(size=100))


def test_origin_is_kept(tmp_path: Path) -> None:
    create(tmp_path / "run")
    with open_run(tmp_path / "run") as store:
        assert store.config_text == building.CONFIG
        assert building.METADATA.items() <= store.metadata.items()
        assert store.metadata["versions"]["numpy"] == np.__version__
        assert "created" in store.metadata
    assert (tmp_path / "run" / "config.yaml").read_bytes() == building.CONFIG.encode()


def test_same_config_is_to_be_resumed(tmp_path: Path) -> None:
    create(tmp_path / "run")
    with pytest.raises(RunFolderError, match="this run already: resume it"):
        create(tmp_path / "run")


def test_other_config_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    create(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")}
    with pytest.raises(RunFolderError, match="another config"):
        create(tmp_path / "run", "seed: 8\n")
    assert {path: path.read_bytes() for path in before} == before


def test_somebodys_config_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine: true\n")
    with pytest.raises(RunFolderError, match="not this run's"):
        create(tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "mine: true\n"
    assert not is_run(tmp_path)


def test_edited_config_is_refused_and_a_lost_one_restored(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 9\n")
    with pytest.raises(RunFolderError, match="differs from the config"):
        open_run(tmp_path)
    (tmp_path / "config.yaml").unlink()
    open_run(tmp_path).close()
    assert (tmp_path / "config.yaml").read_bytes() == building.CONFIG.encode()


def test_no_run_is_said(tmp_path: Path) -> None:
    for call in (open_run, read_run):
        with pytest.raises(RunFolderError, match="holds no run"):
            call(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_timestep_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="timestep_fs"):
        create_run(tmp_path / "run", config_text="", metadata={}, state=building.state(0))
    assert not (tmp_path / "run").exists()


def test_second_coordinator_is_refused_by_name(tmp_path: Path) -> None:
    create(tmp_path)
    command = [sys.executable, building.CHILD, "write", tmp_path]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=building.ENVIRONMENT)
    assert writer.stdout is not None
    writer.stdout.readline()
    who = f"driven by process {writer.pid} on {socket.gethostname()}"
    with pytest.raises(RunFolderError, match=who):
        open_run(tmp_path)
    writer.kill()
    writer.communicate()
    open_run(tmp_path).close()


def test_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    store = building.run_with(tmp_path, 0)
    reading, writing = os.pipe()
    ready, started = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(started, b"x")
        os.read(reading, 1)
        os._exit(0)
    os.read(ready, 1)
    store.close()
    try:
        open_run(tmp_path).close()
    finally:
        for descriptor in (reading, writing, ready, started):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_event_of_other_atoms_is_refused_before_it_is_written(tmp_path: Path) -> None:
    event = building.driven(1)
    segment = replace(event.segment, positions=event.segment.positions[:, :5])
    with building.run_with(tmp_path, 0) as store:
        with pytest.raises(RunFolderError, match=r"trajectory/positions has shape \(4, 5, 3\)"):
            store.commit(Commit(building.state(1), (replace(event, segment=segment),)))
        assert store.commit(building.commit(1)) == 1


def test_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot make"):
        create(tmp_path / "file")


def test_full_disk_is_one_line_and_keeps_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with building.run_with(tmp_path, 1) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(RunFolderError, match="No space left"):
                store.commit(building.commit(2))
        assert store.commit(building.commit(2)) == 2
    assert read_run(tmp_path).commit == 2
