"""The lock that binds workers to their program, by itself: shells instead of workers."""

import os
import subprocess
import time

import pytest

from bnnflow.errors import ConfigError
from executors import lifeline
from executors.blocks.local import end_groups, running_groups
from executors.lifeline import Lifeline, check_programs


def bound_shell(line, commands):
    """A shell in a process group of its own, bound to the lifeline."""
    return subprocess.Popen(["bash", "-c", line.watch() + commands], process_group=0)


def gone(group, seconds):
    deadline = time.monotonic() + seconds
    while group in running_groups() and time.monotonic() < deadline:
        time.sleep(0.02)
    return group not in running_groups()


def test_cutting_it_ends_the_group():
    line = Lifeline()
    shell = bound_shell(line, "sleep 100 & sleep 100 & wait")
    time.sleep(0.3)
    assert shell.pid in running_groups()
    line.cut()
    assert shell.wait(timeout=5) == 143
    assert gone(shell.pid, 5)


def test_what_ignores_sigterm_is_killed():
    line = Lifeline()
    shell = bound_shell(line, "(trap '' TERM; sleep 100) & wait")
    time.sleep(0.3)
    line.cut()
    shell.wait(timeout=5)
    assert gone(shell.pid, 10)


def test_a_block_that_ends_takes_its_orphans_with_it():
    line = Lifeline()
    shell = bound_shell(line, "sleep 100 & exit 7")
    assert shell.wait(timeout=5) == 7
    assert gone(shell.pid, 5)
    line.cut()


def test_end_groups_waits_until_all_are_gone():
    line = Lifeline()
    shells = [bound_shell(line, "sleep 100 & wait") for _ in range(2)]
    time.sleep(0.3)
    groups = {shell.pid for shell in shells}
    assert groups <= running_groups()
    end_groups(groups)
    assert not groups & running_groups()
    assert [shell.wait(timeout=5) for shell in shells] == [143, 143]
    line.cut()


def test_this_process_is_in_a_running_group():
    assert os.getpgrp() in running_groups()


def test_a_missing_program_is_named(monkeypatch):
    check_programs()
    monkeypatch.setattr(lifeline, "PROGRAMS", ("bash", "no-such-program"))
    with pytest.raises(ConfigError, match="program no-such-program was not found"):
        check_programs()
