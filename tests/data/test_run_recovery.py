"""Kills and damage: a commit is wholly there or not at all, and none is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import run_building as building

from bnnflow.data import create_run, is_run, open_run, read_run
from bnnflow.data.headline import decode, read_headline, write_headline
from bnnflow.data.runfile import snapshot, view_in_memory
from bnnflow.data.segments import read_segment
from bnnflow.data.view import last_commit, replay
from bnnflow.errors import RunFolderError

TABLES = {
    "trajectory": building.STEPS,
    "decisions": 1,
    "labels": 1,
    "updates": 1,
    "failures": 1,
    "timing": 2,
}
"""Rows that each commit adds."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed run of two commits, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    building.run_with(folder, 2).close()
    return folder


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(template, tmp_path / "run"))


def whole(folder: Path, commits: int) -> None:
    """The run has exactly these commits, for the coordinator and for readers."""
    with open_run(folder) as store:
        assert store.number == commits
        assert building.same(store.state, building.state(commits))
    assert not list(folder.rglob(".*.tmp"))
    data = read_run(folder)
    assert data.commit == commits
    assert np.array_equal(data.trajectory.steps, np.arange(building.STEPS * commits) + 1)
    assert data.labels.name == tuple(f"{number + 1:04d}" for number in range(commits))
    for table, rows in TABLES.items():
        lengths = {len(column) for column in vars(getattr(data, table)).values()}
        assert lengths == {rows * commits}, table


def killed(scenario: str, template: Path, out: Path) -> list[tuple[str, Path]]:
    """Every write point of a scenario, and the folder that a kill there left."""
    out.mkdir()
    command = [sys.executable, building.CHILD, "kill", scenario, template, out]
    environment = building.ENVIRONMENT
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(signal == 9 for _, _, signal in found)
    return [(point, Path(folder)) for point, folder, _ in found]


def test_kill_at_every_write_point_of_a_commit(template: Path, tmp_path: Path) -> None:
    points = killed("commit", template, tmp_path / "out")
    names = [point for point, _ in points]
    tables = [f"view.{table}:{side}" for table in TABLES for side in ("before", "after")]
    assert {"segment.write:after", "segment.publish:after", "view.clean:after"} <= set(names)
    assert set(tables) <= set(names)
    published = names.index("segment.publish:after")
    for index, (point, folder) in enumerate(points):
        commits = 3 if index >= published else 2
        print(point)  # shown when what follows fails
        assert read_run(folder).commit == commits
        with open_run(folder) as store:
            assert building.same(store.state, building.state(commits))
            assert store.commit(building.commit(commits + 1)) == commits + 1
        whole(folder, commits + 1)


def test_kill_at_every_write_point_of_a_creation(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    points = killed("create", tmp_path / "empty", tmp_path / "out")
    assert {"segment.publish:after", "config.publish:before", "rebuild.publish:after"} <= {
        point for point, _ in points
    }
    for _, folder in points:
        if not is_run(folder):
            create_run(
                folder,
                config_text=building.CONFIG,
                metadata=building.METADATA,
                state=building.state(0),
            ).close()
        whole(folder, 0)


def test_kill_at_every_write_point_of_a_rebuild(run: Path, tmp_path: Path) -> None:
    (run / "run.h5").unlink()
    for _, folder in killed("reopen", run, tmp_path / "out"):
        whole(folder, 2)


def overwrite(path: Path, start: int, data: bytes) -> None:
    """Change some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def byte_of_positions(path: Path) -> int:
    """Where the trajectory's first coordinates lie in the file."""
    where = path.read_bytes().find(building.driven(1).segment.positions.tobytes())
    assert where > 0
    return where


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(5000)),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: overwrite(path, 512, bytes(200)),
        lambda path: overwrite(path, byte_of_positions(path), bytes(64)),
    ],
    ids=["missing", "empty", "noise", "truncated", "longer", "no superblock", "bad data"],
)
def test_damaged_run_file_is_seen_through_and_rebuilt(run: Path, damage: object) -> None:
    intact = read_run(run)
    damage(run / "run.h5")  # type: ignore[operator]
    assert building.same(read_run(run), intact)
    whole(run, 2)
    assert building.same(read_run(run), intact)
    with h5py.File(run / "run.h5") as file:
        assert np.array_equal(file["trajectory/positions"][:], intact.trajectory.positions)


def test_snapshot_is_not_taken_of_a_file_under_change(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes
    line = read_headline(run / "run.h5")

    def overtaken(path: Path) -> bytes:
        data = read(path)
        write_headline(path, {**line, "commit": 3})
        return data

    assert snapshot(run) == read(run / "run.h5")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", overtaken)
        assert decode(snapshot(run) or b"")["commit"] == 3
    write_headline(run / "run.h5", {**line, "state": "replaying"})
    assert snapshot(run) is None


def test_run_file_behind_is_caught_up(run: Path, tmp_path: Path) -> None:
    old = (run / "run.h5").read_bytes()
    with open_run(run) as store:
        store.commit(building.commit(3))
        store.commit(building.commit(4))
    intact = read_run(run)
    (run / "run.h5").write_bytes(old)
    assert building.same(read_run(run), intact)
    points: list[str] = []
    open_run(run, on_write=points.append).close()
    assert "view.mark:before" in points and "rebuild.write:before" not in points
    whole(run, 4)


def test_commit_replayed_twice_counts_once(run: Path) -> None:
    file = view_in_memory(run, 1, None)
    for number in (0, 1, 1, 2, 2, 1):
        replay(file, number, read_segment(run, number))
    assert last_commit(file) == 2
    assert np.array_equal(file["trajectory/steps"][:], np.arange(2 * building.STEPS) + 1)


def test_bad_checksum_names_the_commit(run: Path) -> None:
    segment = run / "commits" / "000002.h5"
    overwrite(segment, segment.stat().st_size // 2, b"\xff\x00\xff")
    for call in (open_run, read_run):
        with pytest.raises(RunFolderError, match=r"000002\.h5 is damaged"):
            call(run)


def test_last_commit_may_be_moved_away(run: Path) -> None:
    (run / "commits" / "000002.h5").rename(run / "moved.h5")
    assert read_run(run).commit == 1
    whole(run, 1)


def test_missing_commit_is_named(run: Path) -> None:
    (run / "commits" / "000001.h5").unlink()
    with pytest.raises(RunFolderError, match=r"000001\.h5 is missing"):
        open_run(run)


def test_one_commit_costs_the_same_early_and_late(tmp_path: Path) -> None:
    """Bytes written to run.h5 by a commit do not grow with the run."""
    sizes = []
    with building.run_with(tmp_path, 0) as store:
        for number in range(1, 13):
            before = (tmp_path / "run.h5").stat().st_size
            store.commit(building.commit(number))
            sizes.append((tmp_path / "run.h5").stat().st_size - before)
    assert max(sizes[6:]) <= 1.2 * max(sizes[1:6])


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    building.run_with(tmp_path, 0).close()
    rng = random.Random(1)
    committed = 0
    for _ in range(20):
        command = [sys.executable, building.CHILD, "write", tmp_path]
        writer = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=building.ENVIRONMENT
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.3))
        writer.kill()
        told = [int(line) for line in [first, *writer.communicate()[0].splitlines()]]
        assert told[0] == committed + 1
        with open_run(tmp_path) as store:
            committed = store.number
        assert told[-1] <= committed <= told[-1] + 1
        whole(tmp_path, committed)
