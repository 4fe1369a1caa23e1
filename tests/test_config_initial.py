"""The section `initial`: what it makes of a run, what it refuses, and that its absence shows
nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule

from bnnflow.config import check_run, config_from_yaml, parse_config
from bnnflow.errors import ConfigError
from bnnflow.records import Initial, SourceKind, Structure

ETHANOL = Structure.from_atoms(molecule("CH3CH2OH"))
SILICON = Structure.from_atoms(bulk("Si") * (2, 2, 2))


def parsed(initial: dict[str, Any] | None = None, **changes: dict[str, Any]) -> Any:
    values: dict[str, Any] = {
        "material": {"structure": "ethanol"},
        "threshold": {"energy_eV": 0.05},
        "dynamics": {"length_ps": 0.1, "temperature_K": 300},
        "reference": {"engine": "tblite"},
        **changes,
    }
    return parse_config(values if initial is None else {**values, "initial": initial})


def made(structure: Structure, **keys: Any) -> Initial:
    config = parsed(keys)
    found = config.initial.record(config.dynamics, structure, lambda words: len(words))
    assert found is not None
    return found


def test_without_the_section_digest_and_resolved_copy_are_those_of_before() -> None:
    plain = parsed()
    assert "initial" not in yaml.safe_load(plain.to_yaml())
    for nothing in ({}, {"labels": 0}):
        assert parsed(nothing).to_yaml() == plain.to_yaml()
        assert parsed(nothing).digest() == plain.digest()
    # As this config had it before the section existed.
    assert plain.digest() == BEFORE
    assert plain.initial.record(plain.dynamics, ETHANOL, hash) is None


BEFORE = "b2655de0175851fa735e977cd6ef9dffb55f475e98bb20b7c3141ccfa5848c85"


def test_with_it_every_number_is_in_the_copy_and_makes_another_run() -> None:
    config = parsed({"labels": 20, "temperatures_K": [300, 900]})
    kept = yaml.safe_load(config.to_yaml())["initial"]
    assert kept == {
        "labels": 20,
        "temperatures_K": [300.0, 900.0],
        "md_ps": 1.0,
        "rattle_A": 0.05,
        "strain": 0.03,
        "select": "farthest",
    }
    assert config_from_yaml(config.to_yaml()) == config
    assert config.digest() != parsed().digest()
    assert config.digest() != parsed({"labels": 21, "temperatures_K": [300, 900]}).digest()


def test_candidates_are_shared_out_over_the_sources() -> None:
    found = made(SILICON, labels=5, candidates=23)
    assert [each.kind.value for each in found.sources] == ["md", "md", "md", "rattled", "strained"]
    assert [each.n_frames for each in found.sources] == [5, 5, 5, 4, 4]
    assert [each.kelvin for each in found.sources[:3]] == [300.0, 450.0, 600.0]
    assert {each.n_steps for each in found.sources[:3]} == {2000}
    assert (found.n_labels, found.select) == (5, "farthest")
    assert sum(each.n_frames for each in made(SILICON, labels=5).sources) == 50


def test_open_structures_have_no_cell_to_strain() -> None:
    kinds = [each.kind for each in made(ETHANOL, labels=5, temperatures_K=[500]).sources]
    assert kinds == [SourceKind.MD, SourceKind.RATTLED]


def test_each_source_has_a_stream_of_its_own() -> None:
    config = parsed({"labels": 5})
    seeds = iter(range(100))
    found = config.initial.record(config.dynamics, SILICON, lambda _: next(seeds))
    assert [each.seed for each in found.sources] == [0, 1, 2, 3, 4]


def test_temperatures_follow_the_schedules_highest() -> None:
    dynamics = {"length_ps": 1.0, "temperature_schedule_ps_K": [[0, 300], [0.5, 800], [1, 300]]}
    config = parsed({"labels": 5}, dynamics=dynamics)
    found = config.initial.record(config.dynamics, ETHANOL, lambda _: 0)
    assert np.allclose([each.kelvin for each in found.sources[:3]], [800, 1200, 1600])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rattle_A": 0.1}, ["initial has rattle_A", "labels is 0", "set labels, or remove"]),
        ({"label": 3}, ["initial.label is not a known key", "initial.labels"]),
        ({"labels": -1}, ["initial.labels is -1", "greater than or equal to 0"]),
        ({"labels": 20, "candidates": 10}, ["10 candidates for 20 labels", "raise candidates"]),
        ({"labels": 5, "temperatures_K": [0]}, ["temperatures_K", "greater than 0"]),
        ({"labels": 5, "select": "random"}, ["'random'", "'farthest' or 'uncertainty'"]),
        ({"labels": 5, "strain": 0.7}, ["initial.strain is 0.7", "less than 0.5"]),
        ({"labels": 5, "md_ps": "1 ps"}, ["number without a unit", "write 1"]),
    ],
)
def test_what_cannot_be_is_one_line(keys: dict[str, Any], words: list[str]) -> None:
    refused(words, keys)


def refused(words: list[str], initial: dict[str, Any], **changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(initial, **changes)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_what_does_not_go_with_other_sections_is_one_line() -> None:
    five = {"labels": 5}
    refused(["initial.labels 5 and limits.labels 5", "first frame"], five, limits={"labels": 5})
    refused(
        ["initial.select uncertainty", "schedule is published"],
        {"labels": 5, "select": "uncertainty"},
        sampler={"schedule": "published"},
    )
    refused(["compat is rensmeyer2026", "remove initial.labels"], five, compat="rensmeyer2026")  # type: ignore[arg-type]
    assert parsed(five, limits={"labels": 6}).initial.labels == 5


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": 5, "temperatures_K": [], "rattle_A": 0}, "nothing to make candidates from"),
        ({"labels": 50, "md_ps": 0.01}, "md_ps is 20 steps, expected at least the 125 frames"),
    ],
)
def test_what_leaves_no_frames_is_refused_before_the_start(
    keys: dict[str, Any], message: str
) -> None:
    config = parsed(keys)
    with pytest.raises(ConfigError, match=message) as caught:
        check_run(config)
    assert "\n" not in str(caught.value)


def test_a_campaign_may_hold_the_section() -> None:
    from bnnflow.config import parse_campaign

    values = {
        "name": "many",
        "materials": [{"structure": "ethanol"}, {"structure": "H2O", "initial": {"labels": 3}}],
        "threshold": {"energy_eV": 0.05},
        "dynamics": {"length_ps": 0.1, "temperature_K": 300},
        "reference": {"engine": "tblite"},
        "initial": {"labels": 7},
    }
    campaign = parse_campaign(values)
    assert campaign.settings()["initial"] == {"labels": 7}
    assert campaign.materials[1].settings()["initial"] == {"labels": 3}
