"""Planted jumps, rattling and recrossings, and the distances before them."""

from __future__ import annotations

import numpy as np
import pytest
from hops import BOND, SPACING, between, line
from hypothesis import given
from hypothesis import strategies as st
from motions import motion

from bnnflow.analysis.motion.jumps import Hopping, jump_events
from bnnflow.analysis.motion.pre_jump import pre_jump_distances
from bnnflow.errors import ConfigError, StructureError


def found(hopping: Hopping) -> list[tuple[int, int, int]]:
    return [(jump.frame, jump.origin, jump.target) for jump in hopping.jumps]


def runs(*parts: tuple[int, int]) -> list[int]:
    """(host, frames) one after the other."""
    return [host for host, frames in parts for _ in range(frames)]


def test_planted_jumps_are_found_with_their_times_and_hosts() -> None:
    given_ = line(runs((0, 30), (1, 40), (2, 25), (1, 30)))
    hopping = jump_events(given_, "H", "S", dwell_fs=30.0)
    assert found(hopping) == [(30, 0, 1), (70, 1, 2), (95, 2, 1)]
    assert [jump.time for jump in hopping.jumps] == [45.0, 105.0, 142.5]
    assert {jump.atom for jump in hopping.jumps} == {4}
    assert hopping.owner[:, 0].tolist() == runs((0, 30), (1, 40), (2, 25), (1, 30))
    assert hopping.atom_time == pytest.approx(125 * 1.5)


def test_jump_through_the_face_of_the_cell() -> None:
    hopping = jump_events(line(runs((3, 30), (0, 30))), "H", "S")
    assert found(hopping) == [(30, 3, 0)]
    distances = pre_jump_distances(line(runs((3, 30), (0, 30))), hopping)
    assert distances.before[0, 0] == pytest.approx(SPACING)


def test_short_visits_are_no_jumps() -> None:
    rattling = line(runs((0, 30), (1, 19), (0, 5), (1, 19), (0, 30)))  # 19 frames are 28.5 fs
    assert found(jump_events(rattling, "H", "S", dwell_fs=30.0)) == []
    assert found(jump_events(rattling, "H", "S", dwell_fs=28.5)) == [
        (30, 0, 1), (73, 1, 0),
    ]  # fmt: skip


def test_recrossings_before_a_jump_count_once_at_the_last_crossing() -> None:
    hesitating = line(runs((0, 30), (1, 3), (0, 4), (1, 2), (0, 6), (1, 40)))
    assert found(jump_events(hesitating, "H", "S")) == [(45, 0, 1)]


def test_passing_a_host_is_not_stopping_there() -> None:
    assert found(jump_events(line(runs((0, 30), (1, 5), (2, 30))), "H", "S")) == [(35, 0, 2)]


def test_a_stay_cut_off_by_the_end_is_not_counted() -> None:
    assert found(jump_events(line(runs((0, 30), (1, 10))), "H", "S")) == []


def test_margin_makes_a_deep_visit_a_jump_and_a_shallow_one_none() -> None:
    deep = np.concatenate([np.full(20, 0.3), np.full(5, 0.9), np.full(5, 1.5)])
    shallow = np.where(deep == 0.9, 0.55, deep)
    for fractions, jumps in [(deep, [(20, 0, 1)]), (shallow, [])]:
        visits = between(fractions[:25])
        assert found(jump_events(visits, "H", "S", margin=1.0)) == jumps
        assert found(jump_events(visits, "H", "S")) == []


def test_a_jump_undone_within_the_dwell_time_is_none() -> None:
    fractions = np.concatenate([np.full(50, 0.3), np.full(10, 0.9), np.full(50, 0.3)])
    assert found(jump_events(between(fractions), "H", "S", margin=1.0)) == []
    assert found(jump_events(between(fractions), "H", "S", margin=1.0, dwell_fs=10.0)) == [
        (50, 0, 1), (60, 1, 0),
    ]  # fmt: skip
    hopping = jump_events(between(fractions), "H", "S", margin=1.0)
    assert hopping.owner.tolist() == [[0]] * 110


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=15))
def test_any_history_is_told_without_contradiction(parts: list[tuple[int, int]]) -> None:
    hosts = runs(*parts)
    if len(hosts) < 2:
        return
    hopping = jump_events(line(hosts), "H", "S")
    owner = hopping.owner[:, 0]
    told = [(hopping.hosts[owner[f - 1]], hopping.hosts[owner[f]], f) for f, _, _ in found(hopping)]
    assert told == [(jump.origin, jump.target, jump.frame) for jump in hopping.jumps]
    assert np.count_nonzero(np.diff(owner)) == len(hopping.jumps)
    assert owner[0] == hosts[0]
    for jump in hopping.jumps:  # the dwell time is 20 frames
        assert hosts[jump.frame : jump.frame + 20] == [jump.target] * 20


def test_two_mobile_atoms_are_told_apart() -> None:
    one, other = line(runs((0, 30), (1, 60))), line(runs((2, 60), (3, 30)))
    places = np.concatenate([one.positions, other.positions[:, -1:]], axis=1)
    both = motion(["S"] * 4 + ["H", "H"], places, one.cells, timestep=1.5)
    hopping = jump_events(both, "H", "S")
    assert [(jump.frame, jump.atom, jump.target) for jump in hopping.jumps] == [
        (30, 4, 1), (60, 5, 3),
    ]  # fmt: skip
    assert hopping.atom_time == pytest.approx(2 * 90 * 1.5)


def test_only_bound_atoms_are_watched_when_asked() -> None:
    one, other = line(runs((0, 30), (1, 30))), line(runs((2, 30), (3, 30)))
    places = np.concatenate([one.positions, other.positions[:, -1:] + [0, 1.0, 0]], axis=1)
    both = motion(["S"] * 4 + ["H", "H"], places, one.cells, timestep=1.5)
    assert len(jump_events(both, "H", "S").jumps) == 2
    hopping = jump_events(both, "H", "S", bound=1.5)
    assert [jump.atom for jump in hopping.jumps] == [4]
    assert pre_jump_distances(both, hopping).always.shape == (60, 1, 3)
    with pytest.raises(StructureError, match=r"nearest host is 1\.35 Å away, expected 1 Å"):
        jump_events(both, "H", "S", bound=1.0)


def test_nonsense_is_refused() -> None:
    still = line([0, 0])
    with pytest.raises(StructureError, match="cannot jump between 4 S atoms"):
        jump_events(still, "all", "S")
    with pytest.raises(StructureError, match="cannot jump between 1 H atoms"):
        jump_events(still, "S", "H")
    with pytest.raises(ConfigError, match="expected neither below 0"):
        jump_events(still, "H", "S", dwell_fs=-1.0)


def approach(jumps: list[int], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Separation of two sulfurs: 4.0 Å, and 3.0 Å in the ten frames before each jump."""
    apart = np.full(frames, 4.0)
    host = np.zeros(frames, dtype=int)
    for jump in jumps:
        apart[jump - 10 : jump] = 3.0
        host[jump:] = 1 - host[jump:]
    return apart, host


def test_distances_before_jumps_are_those_planted() -> None:
    apart, host = approach([100, 200, 300], 400)
    places = np.zeros((400, 3, 3))
    places[:, 1, 0] = apart
    places[:, 2, 0] = np.where(host == 0, 1.3, apart - 1.3)
    given_ = motion(["S", "S", "H"], places, 20.0, timestep=1.5)
    hopping = jump_events(given_, "H", "S")
    assert [jump.frame for jump in hopping.jumps] == [100, 200, 300]
    distances = pre_jump_distances(given_, hopping, window_fs=15.0)
    assert distances.window == 15.0
    assert distances.before == pytest.approx(np.array([[3.0, 1.7, 1.3]] * 3))
    assert distances.mean_before.value == pytest.approx([3.0, 1.7, 1.3])
    assert distances.mean_before.error == pytest.approx(0.0, abs=1e-12)
    assert distances.always[:, 0, 0] == pytest.approx(apart)
    assert distances.always[:, 0].mean(axis=0) == pytest.approx([3.925, 2.625, 1.3])
    assert np.mean(distances.always[:, 0, 0] < 3.1) == pytest.approx(30 / 400)


def test_share_of_time_below_the_distance_before_a_jump() -> None:
    apart, _ = approach([50], 100)
    places = np.zeros((100, 3, 3))
    places[:, 1, 0] = apart + 0.01 * np.arange(100)
    places[:, 2, 0] = np.where(np.arange(100) < 50, 1.3, places[:, 1, 0] - 1.3)
    given_ = motion(["S", "S", "H"], places, 30.0)
    distances = pre_jump_distances(given_, jump_events(given_, "H", "S"), window_fs=10.0)
    assert distances.before[0, 0] == pytest.approx(3.0 + 0.01 * 44.5)
    assert distances.quantile[0] == pytest.approx(5 / 100)
    assert np.isnan(distances.mean_before.error).all()


def test_acceptor_is_the_nearest_other_host() -> None:
    hopping = jump_events(line([1] * 5, sulfurs=5), "H", "S")
    distances = pre_jump_distances(line([1] * 5, sulfurs=5), hopping)
    assert distances.before.shape == (0, 3)
    assert np.isnan(distances.quantile).all() and np.isnan(distances.mean_before.value).all()
    assert distances.always == pytest.approx(
        np.full((5, 1, 3), [SPACING, np.hypot(SPACING, BOND), BOND])
    )
