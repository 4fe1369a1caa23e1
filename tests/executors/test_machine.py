"""Cores and accelerators, from what the kernel and the environment say."""

import pytest

from executors import machine


@pytest.fixture
def quota(tmp_path, monkeypatch):
    path = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_QUOTA", path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(16)))
    return path


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 16), ("250000 100000", 3), ("50000 100000", 1), ("6400000 100000", 16)],
)
def test_cores_within_a_quota(quota, text, cores):
    quota.write_text(text)
    assert machine.usable_cores() == cores


def test_cores_without_a_quota(quota):
    assert machine.usable_cores() == 16


def test_accelerators_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    for name in ("nvidia10", "nvidia0", "nvidia2", "nvidiactl", "nvidia0x", "sda"):
        (tmp_path / name).touch()
    assert machine.usable_accelerators() == ("0", "2", "10")


@pytest.mark.parametrize(
    ("visible", "names"), [("", ()), ("-1", ()), ("3, 1", ("3", "1")), ("GPU-ab", ("GPU-ab",))]
)
def test_accelerators_left_to_this_process(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.usable_accelerators() == names
