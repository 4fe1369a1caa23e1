"""The preset `compat`: what it fixes, what it leaves open, and what it does not touch."""

from pathlib import Path

import pytest
import yaml

from bnnflow.config import config_from_yaml, load_config, parse_config
from bnnflow.config.messages import known_keys
from bnnflow.config.run import RunConfig
from bnnflow.errors import ConfigError
from bnnflow.records import Faults
from workflows.session import make_plan

SMALLEST = """
material: {structure: H2}
threshold: {energy_eV: 0.05}
dynamics: {length_ps: 0.1, temperature_K: 300}
reference: {engine: tblite}
"""
PRESET = "compat=rensmeyer2026"


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(SMALLEST)
    return path


def test_every_number_is_explicit_in_the_resolved_copy(config_file: Path) -> None:
    values = yaml.safe_load(load_config(config_file, [PRESET]).to_yaml())
    assert values["compat"] == "rensmeyer2026"
    assert values["calibration"] == {"shape": 1.5, "scale": 10.0}
    assert values["run"]["continue_on"] == "reference"
    sampler = values["sampler"]
    assert (sampler["schedule"], sampler["steps"], sampler["batch"]) == ("published", 2000, 5)
    assert sampler["noise_free_fraction"] == 398 / 2000
    assert sampler["ramp_fraction"] == 102 / 2000
    assert (sampler["freeze_mass_fraction"], sampler["step_size"]) == (1.0, 1e-3)


def test_nequip_has_the_codes_calibration_and_step_size(config_file: Path) -> None:
    config = load_config(config_file, [PRESET, "potential.family=nequip"])
    assert (config.calibration.shape, config.calibration.scale) == (1.5, 10.0)
    assert config.sampler.step_size == 1e-4
    assert config.potential.prior_std == 0.2


def test_the_preset_reaches_the_loop_under_its_name(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file, [PRESET, "sampler.steps=700"])
    plan = make_plan(config, tmp_path, config.material.load(), chains_per_task=2)
    assert (plan.schedule.name, plan.schedule.steps) == ("compat: rensmeyer2026", 700)
    assert plan.continue_on == "reference"
    assert plan.faults == Faults(
        uncalibrated_labels=2,
        ramp_of_std=True,
        absent_elements=True,
        biased_minibatch=True,
        float32_energies=True,
        off_diagonal_count=2,
    )


def test_without_the_preset_there_are_no_faults(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file, ["sampler.schedule=published"])
    plan = make_plan(config, tmp_path, config.material.load(), chains_per_task=2)
    assert plan.faults == Faults()
    assert plan.schedule.name == "published"


def test_a_run_without_the_preset_is_written_as_before_it(config_file: Path) -> None:
    """No new key in the resolved copy, so the digest of a run is what it was."""
    config = load_config(config_file)
    assert "compat" not in config.to_yaml()
    assert load_config(config_file, ["compat=null"]).digest() == config.digest()
    assert load_config(config_file, [PRESET]).digest() != config.digest()


def test_the_resolved_copy_reads_back_equal(config_file: Path) -> None:
    config = load_config(config_file, [PRESET, "sampler.steps=9"])
    assert config_from_yaml(config.to_yaml()) == config
    assert config.to_yaml() == config_from_yaml(config.to_yaml()).to_yaml()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sampler.schedule=rto", "published"),
        ("run.continue_on=ensemble", "reference"),
        ("calibration.shape=3", "1.5"),
        ("calibration.scale=7", "10.0"),
        ("sampler.noise_free_fraction=0.1", "0.199"),
        ("sampler.ramp_fraction=0.1", "0.051"),
        ("sampler.freeze_mass_fraction=0.5", "1.0"),
    ],
)
def test_a_key_that_contradicts_the_preset_is_refused(
    config_file: Path, override: str, expected: str
) -> None:
    key, _, value = override.partition("=")
    with pytest.raises(ConfigError) as caught:
        load_config(config_file, [PRESET, override])
    message = str(caught.value)
    assert "\n" not in message
    assert f"compat is rensmeyer2026, but {key} is {value}" in message
    assert f"expected {expected}" in message
    assert f"remove {key}, or compat" in message


def test_another_preset_is_refused(config_file: Path) -> None:
    with pytest.raises(ConfigError, match="compat is 'rensmeyer', expected 'rensmeyer2026'"):
        load_config(config_file, ["compat=rensmeyer"])


def test_a_value_that_agrees_may_be_given() -> None:
    values = yaml.safe_load(SMALLEST) | {
        "compat": "rensmeyer2026",
        "calibration": {"shape": 1.5},
        "run": {"continue_on": "reference", "seed": 4},
        "sampler": {"steps": 20, "step_size": 0.04, "batch": 3},
    }
    config = parse_config(values)
    assert (config.run.seed, config.sampler.step_size, config.sampler.batch) == (4, 0.04, 3)


def test_the_key_is_known() -> None:
    assert "compat" in known_keys(RunConfig)
    assert RunConfig.model_fields["compat"].description
