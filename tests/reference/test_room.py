"""Disk and memory, before a label and after one that crashed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bnnflow.records import Failure, FailureCause, Handling, LabelRequest, Structure
from bnnflow.reference import label
from bnnflow.reference.room import available_memory_GB, ran_out_of

Ask = Callable[..., LabelRequest]


@pytest.mark.parametrize(
    ("handling", "cause"),
    [
        (Handling(free_disk_GB=1e9), FailureCause.NO_DISK_SPACE),
        (Handling(free_memory_GB=1e6), FailureCause.OUT_OF_MEMORY),
    ],
)
def test_a_label_without_room_is_not_begun(
    handling: Handling, cause: FailureCause, water: Structure, ask: Ask
) -> None:
    outcome = label(ask(water, engine="tblite", handling=handling))
    assert isinstance(outcome, Failure)
    assert outcome.cause is cause
    assert "expected" in outcome.message


def test_memory_is_read() -> None:
    psutil = pytest.importorskip("psutil")
    assert available_memory_GB() == pytest.approx(psutil.virtual_memory().available / 1e9, rel=0.2)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("forrtl: No space left on device", FailureCause.NO_DISK_SPACE),
        ("slurmstepd: error: Detected 1 oom-kill event(s)", FailureCause.OUT_OF_MEMORY),
        ("terminate called after throwing std::bad_alloc", FailureCause.OUT_OF_MEMORY),
        ("MemoryError: Unable to allocate", FailureCause.OUT_OF_MEMORY),
        ("Segmentation fault", None),
        ("", None),
    ],
)
def test_what_a_log_says(log: str, cause: FailureCause | None) -> None:
    assert ran_out_of(log) is cause
