"""Config keys of audits, moving average and force criterion; a run without is as before."""

from pathlib import Path

import pytest
import yaml

from bnnflow.config import check_run, config_from_yaml, load_config
from bnnflow.config.run import RunConfig
from bnnflow.errors import ConfigError
from bnnflow.records import Calibration, Estimates, ForceRegion
from bnnflow.units import from_kcal_per_mol
from workflows.session import make_plan

ETHANOL = """
material: {structure: ethanol}
threshold: {energy_kcal_per_mol: 1.0}
dynamics: {length_ps: 0.1, temperature_K: 300}
reference: {engine: tblite}
potential: {prior_std: 0.5}
"""
FORCES = "threshold.force_kcal_per_mol_A=5"
REGIONS = (
    "threshold.force_regions={proton: {atoms: [3], kcal_per_mol_A: 2}, "
    "heavy: {elements: [C, O], kcal_per_mol_A: 10}}"
)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(ETHANOL)
    return path


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_run(load_config(path, overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_without_them_is_written_as_before(config_file: Path) -> None:
    values = yaml.safe_load(load_config(config_file).to_yaml())
    assert values["calibration"] == {"shape": 1.5, "scale": 10.0}
    assert set(values["threshold"]) == {"energy_kcal_per_mol", "energy_eV", "per", "confidence"}
    config = load_config(config_file)
    nulls = ["calibration.audit_every_steps=null", "threshold.force_regions=null"]
    assert load_config(config_file, nulls).digest() == config.digest()


def test_a_run_without_them_plans_as_before(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file)
    plan = make_plan(config, tmp_path, config.material.load(), chains_per_task=2)
    assert (plan.audit_every_steps, plan.calibration_use) == (None, "requested")
    assert plan.force_regions == ()
    assert config.calibration.record() == Calibration(1.5, 10.0)
    assert config.calibration.estimates(0) == Estimates()


@pytest.mark.parametrize(
    "override",
    [
        "calibration.audit_every_steps=100",
        "calibration.moving_average_labels=20",
        FORCES,
        REGIONS,
    ],
)
def test_each_changes_the_digest_and_reads_back_equal(config_file: Path, override: str) -> None:
    config = load_config(config_file, [override])
    assert config.digest() != load_config(config_file).digest()
    assert config_from_yaml(config.to_yaml()) == config
    assert config_from_yaml(config.to_yaml()).digest() == config.digest()


def test_all_of_them_reach_the_plan_and_the_first_calibrations(
    config_file: Path, tmp_path: Path
) -> None:
    overrides = [
        "calibration.audit_every_steps=100",
        "calibration.use=both",
        "calibration.moving_average_labels=20",
        "calibration.force_shape=5",
        "calibration.force_scale=20",
        FORCES,
        REGIONS,
    ]
    config = load_config(config_file, overrides)
    plan = make_plan(config, tmp_path, config.material.load(), chains_per_task=2)
    assert (plan.audit_every_steps, plan.calibration_use) == (100, "both")
    limits = [from_kcal_per_mol(limit) for limit in (2.0, 10.0, 5.0)]
    assert plan.force_regions == (
        ForceRegion("proton", (3,), limits[0]),
        ForceRegion("heavy", (0, 1, 2), limits[1]),
        ForceRegion("rest", (4, 5, 6, 7, 8), limits[2]),
    )
    energy = Calibration(1.5, 10.0, decay=0.95)
    forces = (Calibration(5.0, 20.0, decay=0.95),) * 3
    assert config.calibration.record() == energy
    assert config.calibration.estimates(3) == Estimates(energy, forces, forces)


def test_without_a_limit_of_the_rest_only_regions_are_judged(config_file: Path) -> None:
    config = load_config(config_file, [REGIONS])
    regions = config.threshold.regions(config.material.load())
    assert [region.name for region in regions] == ["proton", "heavy"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["calibration.use=audit"], "no audit_every_steps"),
        (["calibration.audit_every_steps=0"], "greater than or equal to 1"),
        (["calibration.moving_average_labels=1"], "greater than 1"),
        (["calibration.force_shape=5"], "no force criterion"),
        (["threshold.force_kcal_per_mol_A=0"], "greater than 0"),
        (["threshold.force_regions={rest: {atoms: [0], kcal_per_mol_A: 1}}"], "rename it"),
        (["threshold.force_regions={a: {kcal_per_mol_A: 1}}"], "neither of atoms and elements"),
        (["threshold.force_regions={a: {atoms: [1]}}"], "kcal_per_mol_A is missing"),
        (["threshold.force_regions={a: {elements: [Xy], kcal_per_mol_A: 1}}"], "'Xy'"),
        (["threshold.force_regions={a: {elements: [N], kcal_per_mol_A: 1}}"], "holds no atom"),
        (["threshold.force_regions={a: {atoms: [9], kcal_per_mol_A: 1}}"], "has 9, counted from 0"),
        ([REGIONS.replace("[3]", "[2]")], "has atom 2, which another region has too"),
        (["compat=rensmeyer2026", FORCES], "expected None"),
        (["compat=rensmeyer2026", "calibration.audit_every_steps=5"], "expected None"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    config_file: Path, overrides: list[str], words: str
) -> None:
    assert words in refused(config_file, *overrides)


def test_the_config_page_names_every_key() -> None:
    page = (Path(__file__).parents[1] / "docs" / "config.md").read_text()
    for section in ("threshold", "calibration"):
        fields = RunConfig.model_fields[section].annotation.model_fields
        assert all(f"`{key}`" in page for key in fields)
