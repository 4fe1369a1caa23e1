"""The fault matrix in brief: two tries of each fault, nothing lost, wrong or left behind."""

from __future__ import annotations

from pathlib import Path

import faults
import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", list(faults.FAULTS))
def test_nothing_is_lost_wrong_or_not_resumed(name: str, tmp_path: Path) -> None:
    if name == "full_disk" and not faults.labels.can_mount(tmp_path / "disk"):
        pytest.skip("a disk of its own takes root")
    tally = faults.measure([name], repeats=2, seed=2, folder=tmp_path)[name]
    assert tally.tries >= 2 and faults.wrongs(tally) == 0, tally


def test_wrongs_counts_everything_that_must_be_zero() -> None:
    assert faults.wrongs(faults.Tally(tries=3, idle=1, promised=3)) == 0
    bad = faults.Tally(lost=1, wrong=2, not_resumed=3, different=4, amiss=("a", "b"))
    assert faults.wrongs(bad) == 12
    assert (bad + bad).lost == 2 and len((bad + bad).amiss) == 4
