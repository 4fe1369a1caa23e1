import math

import numpy as np
import pytest

from bnnflow.records import Calibration, Reason
from bnnflow.uncertainty import LOCK_IN_REMEDIES, decide, largest_trusted_std, locked_in

K = 0.0434
FLOOR = 0.1 * K


def decision(calibration: Calibration, std: float):
    return decide(calibration, step=7, time_fs=3.5, std=std, threshold=K)


def test_asks_just_above_the_limit_and_not_at_it():
    calibration = Calibration(1.5, 10.0, count=9, sum_squares=4.0)
    limit = largest_trusted_std(calibration, threshold=K)
    at, above = decision(calibration, limit), decision(calibration, math.nextafter(limit, math.inf))
    assert (at.ask, at.reason) == (False, Reason.CERTAIN)
    assert (above.ask, above.reason) == (True, Reason.UNCERTAIN)
    assert above.limit == limit
    assert above.probability == pytest.approx(0.95)
    assert (above.step, above.time_fs) == (7, 3.5)


@pytest.mark.parametrize("std", [math.nan, math.inf])
def test_a_non_finite_std_asks(std):
    assert decision(Calibration(1.5, 10.0), std).ask


def test_a_non_finite_probability_asks_with_its_own_reason():
    spoilt = Calibration(1.5, 10.0, count=3, sum_squares=math.nan)
    result = decision(spoilt, FLOOR)
    assert result.ask
    assert result.reason is Reason.NON_FINITE_PROBABILITY


@pytest.mark.parametrize(("count", "mean_square"), [(350, 0.05), (2000, 0.05), (0, 0.0)])
def test_states_in_which_the_published_form_fails_are_decided(count, mean_square):
    calibration = Calibration(1.5, 10.0, count=count, sum_squares=count * mean_square)
    for std, ask in ((1e-6 * K, False), (50 * K, True)):
        result = decision(calibration, std)
        assert math.isfinite(result.probability)
        assert result.ask is ask


@pytest.mark.parametrize(("mean_square", "expected"), [(25.9, False), (26.2, True)])
def test_lock_in_boundary_of_many_labels(mean_square, expected):
    count = 10**6
    calibration = Calibration(1.5, 10.0, count=count, sum_squares=count * mean_square)
    assert locked_in(calibration, floor_std=FLOOR, threshold=K) is expected


def test_lock_in_means_that_no_spread_at_all_is_trusted():
    calibration = Calibration(1.5, 10.0, count=5, sum_squares=5 * 40.0)
    assert locked_in(calibration, floor_std=FLOOR, threshold=K)
    assert decision(calibration, FLOOR).ask
    assert not locked_in(calibration, floor_std=0.1 * FLOOR, threshold=K)


def test_the_published_priors_do_not_start_locked_in():
    for shape in (1.5, 3.0):
        assert not locked_in(Calibration(shape, 10.0), floor_std=FLOOR, threshold=K)


def test_remedies_are_one_line():
    assert "\n" not in LOCK_IN_REMEDIES
    for remedy in ("threshold", "steps", "prior"):
        assert remedy in LOCK_IN_REMEDIES


def test_decisions_move_from_trust_to_label_once():
    calibration = Calibration(3.0, 10.0, count=20, sum_squares=30.0)
    asked = [decision(calibration, float(std)).ask for std in np.geomspace(1e-4, 10, 60) * K]
    assert asked == sorted(asked)
    assert asked[0] is False
    assert asked[-1] is True
