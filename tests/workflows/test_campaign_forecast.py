"""Forecasts of whole campaigns, as `bnnflow plan` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnnflow.config import CampaignConfig, parse_campaign
from workflows.campaign_forecast import HOUR_S, CampaignForecast, forecast_campaign
from workflows.plan_labels import LabelHistory
from workflows.plan_times import TaskTimes, given

TIMES = given(label=100.0, md=0.01, update=(1.0, 0.0), labels=4)


def campaign(**more: Any) -> CampaignConfig:
    return parse_campaign(
        {
            "name": "waters",
            "materials": [{"structure": "H2O"}, {"structure": "NH3"}],
            "conditions": {"walkers": 3},
            "threshold": {"energy_kcal_per_mol": 2.0},
            "dynamics": {"temperature_K": 300, "length_ps": 0.1},
            "reference": {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
            **more,
        }
    )


def test_walkers_of_one_material_share_first_labels_and_updates(tmp_path: Path) -> None:
    own = forecast_campaign(campaign(), tmp_path, TIMES, runs=12)
    shared = forecast_campaign(campaign(ensembles="per_material"), tmp_path, TIMES, runs=12)
    assert own.found.labels == 12 * 4
    assert shared.found.labels == 4 * (1 + 3 * 3)  # four materials, the copies of each apart
    assert len(shared.found.ends_s) == 12
    assert shared.found.wall_s < own.found.wall_s


def test_copies_of_a_material_are_other_materials(tmp_path: Path) -> None:
    """Or all of a large campaign would be as hard as the two or three drawn first."""
    histories = (LabelHistory(tuple(map(float, range(1, 7))), 100.0, "A"),)
    times = TaskTimes(3.0, 100.0, (0.0, 0.01), (1.0, 0.0, 0.0), histories)
    few = forecast_campaign(campaign(conditions={}), tmp_path, times, runs=2)
    many = forecast_campaign(campaign(conditions={}), tmp_path, times, runs=60)

    def width(found: CampaignForecast) -> float:
        assert found.range_s is not None
        return (found.range_s[1] - found.range_s[0]) / found.found.wall_s

    assert width(many) < width(few)


def test_label_times_that_are_chance_give_a_range(tmp_path: Path) -> None:
    sure = forecast_campaign(campaign(), tmp_path, TIMES)
    assert sure.range_s is None and sure.as_dict()["wall_hours_range"] is None
    assert f"{sure.found.wall_s / HOUR_S:.3g} h\n" in sure.table()
    histories = (LabelHistory((10.0, 20.0), 100.0, "A"), LabelHistory((50.0,), 100.0, "B"))
    times = TaskTimes(3.0, 100.0, (0.0, 0.01), (1.0, 0.0, 0.0), histories)
    found = forecast_campaign(campaign(), tmp_path, times)
    assert found.range_s is not None
    low, high = found.range_s
    assert low < found.found.wall_s < high
    hours = found.as_dict()["wall_hours_range"]
    assert hours == pytest.approx([low / HOUR_S, high / HOUR_S])
    assert f"({low / HOUR_S:.3g} to {high / HOUR_S:.3g})" in found.table()
    assert forecast_campaign(campaign(), tmp_path, times).range_s == found.range_s


def test_runs_end_at_the_limit_of_their_labels(tmp_path: Path) -> None:
    found = forecast_campaign(campaign(limits={"labels": 3}), tmp_path, TIMES)
    assert found.found.labels == 6 * 3
