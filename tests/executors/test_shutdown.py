"""No process stays behind, however the program that started the pools ends.

Each test runs a program with tasks in all pools, one of them with a label process of its own, and
looks through /proc for what carries the program's mark in its environment.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from executors.provenance import check_one_place

PROGRAM = Path(__file__).with_name("pool_program.py")
START_S = 90
ORDERLY_S = 15
HEARTBEATS_S = 60
SITE = """\
heartbeat_threshold_s: 20
pools:
  gpu: {workers_per_node: 1}
  dft: {workers_per_node: 1}
  md: {workers_per_node: 1}
"""


class Program:
    """The program under test, in a process group of its own."""

    def __init__(self, folder, ending):
        (folder / "site.yaml").write_text(SITE)
        self.mark = f"BNNFLOW_TEST={uuid.uuid4()}"
        name, value = self.mark.split("=")
        # SPT_NOENV: processes that rename themselves must not overwrite their environment
        environment = os.environ | {name: value, "SPT_NOENV": "1"}
        environment["PYTHONPATH"] = str(check_one_place())
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, folder / "site.yaml", folder, ending],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, line):
        for found in self.process.stdout:
            if found.strip() == line:
                return
        raise AssertionError(self.process.stderr.read())

    def alive(self):
        """Command lines of every running process with the mark, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it ended just now; the environment of a zombie is empty
                continue
        return found

    def gone_within(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == {}

    def end(self):
        for process in self.alive():
            os.kill(process, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def program(tmp_path):
    programs = []

    def start(ending):
        programs.append(Program(tmp_path, ending))
        return programs[-1]

    yield start
    for started in programs:
        started.end()


def test_normal_exit(program):
    run = program("return")
    run.wait_for("ready")
    assert len(run.alive()) > 12  # three interchanges, managers and workers at least, and the label
    output, errors = run.process.communicate(timeout=ORDERLY_S)
    assert (run.process.returncode, output, errors) == (0, "FaultError\n", "")
    run.gone_within(1)


def test_exception(program):
    run = program("raise")
    run.wait_for("ready")
    assert run.process.wait(timeout=ORDERLY_S) == 1
    assert "RuntimeError: something went wrong" in run.process.stderr.read()
    run.gone_within(1)


def test_ctrl_c_to_the_whole_group_twice(program):
    run = program("wait")
    run.wait_for("ready")
    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.process.wait(timeout=ORDERLY_S) == -signal.SIGINT
    run.gone_within(1)


def test_sigterm(program):
    run = program("wait")
    run.wait_for("ready")
    run.process.terminate()
    assert run.process.wait(timeout=ORDERLY_S) == -signal.SIGINT  # as a KeyboardInterrupt ends
    run.gone_within(1)


def test_sigterm_while_starting(program):
    run = program("wait")
    run.wait_for("starting")
    time.sleep(0.7)
    run.process.terminate()
    assert run.process.wait(timeout=START_S) == -signal.SIGINT
    run.gone_within(1)


def test_sigkill(program):
    run = program("wait")
    run.wait_for("ready")
    (lock,) = {line.split()[1] for line in run.alive().values() if line.startswith("flock")}
    run.process.kill()
    run.gone_within(ORDERLY_S)
    assert not Path(lock).exists()


@pytest.mark.slow
def test_sigkill_when_only_heartbeats_are_left(program):
    run = program("wait")
    run.wait_for("ready")
    watching = [process for process, line in run.alive().items() if line.startswith("flock")]
    assert len(watching) == 3
    for process in watching:
        os.kill(parent(process), signal.SIGKILL)  # the shell that would end the block
    run.process.kill()
    time.sleep(3)
    assert run.alive() != {}
    run.gone_within(HEARTBEATS_S)


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
