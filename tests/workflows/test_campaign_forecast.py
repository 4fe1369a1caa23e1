"""Forecasts of whole campaigns, as `bnnflow plan` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnnflow.config import CampaignConfig, parse_campaign
from workflows.campaign_forecast import HOUR_S, forecast_campaign
from workflows.plan_times import LabelHistory, TaskTimes, given

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


def test_label_times_that_are_chance_give_a_range(tmp_path: Path) -> None:
    sure = forecast_campaign(campaign(), tmp_path, TIMES)
    assert sure.range_s == pytest.approx((sure.found.wall_s, sure.found.wall_s))
    histories = (LabelHistory((0.0,), 100.0), LabelHistory((0.0, 10.0, 20.0), 100.0))
    times = TaskTimes(3.0, 100.0, (0.0, 0.01), (1.0, 0.0), histories)
    found = forecast_campaign(campaign(), tmp_path, times)
    low, high = found.range_s
    assert low < found.found.wall_s < high
    hours = found.as_dict()["wall_hours_range"]
    assert hours == pytest.approx([low / HOUR_S, high / HOUR_S])
    assert f"({low / HOUR_S:.3g} to {high / HOUR_S:.3g})" in found.table()
    again = forecast_campaign(campaign(), tmp_path, times)
    assert again.range_s == found.range_s
