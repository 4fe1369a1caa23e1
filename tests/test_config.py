"""The config: defaults, one-line errors, overrides, resolved copy and digest."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from ase.build import molecule
from ase.io import write
from ase.units import kcal, mol
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bnnflow.config import RunConfig, check_run, config_from_yaml, load_config, parse_config
from bnnflow.config.messages import known_keys
from bnnflow.errors import ConfigError, ModelError, ReferenceError, StructureError, UserError
from bnnflow.potentials import registry
from bnnflow.records import RtoSpec, ScheduleSpec

SMALLEST = """
material: {structure: H2}
threshold: {energy_eV: 0.05}
dynamics: {length_ps: 0.1, temperature_K: 300}
reference: {engine: tblite}
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(SMALLEST)
    return path


PUBLISHED = ["sampler.schedule=published"]


def refused(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_smallest_config_conditions_and_corrects_under_a_prior_to_be_found(config_file):
    config = load_config(config_file)
    assert config.sampler.record() == RtoSpec(
        name="rto", trajectories=20, leapfrog_steps=5, max_jacobians=10, max_steps=40
    )
    assert (config.potential.prior_std, config.potential.head_prior_std) == (None, None)
    assert load_config(config_file, ["sampler.schedule=null"]) == config


def test_published_schedule_gets_the_published_mace_defaults(config_file):
    config = load_config(config_file, PUBLISHED)
    assert config.potential.prior_std == 0.5
    assert (config.calibration.shape, config.calibration.scale) == (1.5, 10.0)
    assert config.threshold.confidence == 0.95
    assert config.sampler.record() == ScheduleSpec(
        name="published",
        steps=2000,
        batch=5,
        step_size=1e-3,
        noise_free_fraction=398 / 2000,
        ramp_fraction=102 / 2000,
    )
    assert config.material.name == "H2"


def test_the_family_sets_defaults_that_an_explicit_value_overrides(config_file):
    config = load_config(
        config_file, [*PUBLISHED, "potential.family=nequip", "calibration.scale=7"]
    )
    assert config.potential.prior_std == 0.2
    assert (config.calibration.shape, config.calibration.scale) == (3.0, 7.0)
    assert config.sampler.step_size == 3e-5


def test_a_changed_schedule_does_not_keep_the_published_name(config_file):
    changes = [*PUBLISHED, "sampler.ramp_fraction=0.25", "sampler.steps=10"]
    config = load_config(config_file, changes)
    assert config.sampler.record().name == "published ramp_fraction=0.25"
    config = load_config(config_file, ["sampler.trajectories=7"])
    assert config.sampler.record() == RtoSpec("rto trajectories=7", trajectories=7)
    assert {item.name for item in fields(ScheduleSpec)} - {"name"} <= set(
        type(config.sampler).model_fields
    )


@pytest.mark.parametrize("schedule", ["published", "rto"])
def test_a_resolved_copy_names_only_the_keys_of_its_schedule(config_file, schedule):
    config = load_config(config_file, [f"sampler.schedule={schedule}"])
    kept = yaml.safe_load(config.to_yaml())["sampler"]
    assert ("steps" in kept) == (schedule == "published")
    assert ("prior_power" in kept) == (schedule == "rto")
    assert config_from_yaml(config.to_yaml()) == config


def test_resolved_copies_of_older_versions_keep_their_meaning(config_file):
    """They held the keys of both schedules, and one prior std for all weights."""
    older = {"prior_force_spread_kcal_per_mol_A": 5.0, "trajectories": 20}
    published = load_config(config_file, PUBLISHED)
    kept = yaml.safe_load(published.to_yaml())
    kept["sampler"] |= older
    assert config_from_yaml(yaml.safe_dump(kept)) == published
    kept = yaml.safe_load(load_config(config_file).to_yaml())
    del kept["sampler"]["prior_power"]
    kept["sampler"] |= older | {"steps": 2000, "step_size": 1e-3}
    sampler = config_from_yaml(yaml.safe_dump(kept)).sampler
    assert (sampler.prior_power, sampler.prior_force_spread_kcal_per_mol_A) == (0.0, 5.0)


def test_threshold_in_either_unit_per_cell_or_atom(config_file):
    drop = "threshold.energy_eV=null"
    in_kcal = load_config(config_file, [drop, "threshold.energy_kcal_per_mol=0.5"]).threshold
    assert in_kcal.energy_threshold_eV(9) == pytest.approx(0.5 * kcal / mol, rel=1e-12)
    assert in_kcal.energy_std_eV(9) == pytest.approx(0.05 * kcal / mol, rel=1e-12)
    per_atom = load_config(config_file, ["threshold.per=atom"]).threshold
    assert per_atom.energy_threshold_eV(9) == pytest.approx(0.45)
    assert per_atom.energy_std_eV(9) == pytest.approx(0.045)


def test_temperature_schedule_becomes_corners_in_fs(config_file):
    schedule = "dynamics.temperature_schedule_ps_K=[[0, 300], [25, 800]]"
    config = load_config(config_file, ["dynamics.temperature_K=null", schedule])
    assert config.dynamics.record().temperature_schedule == ((0.0, 300.0), (25000.0, 800.0))
    assert load_config(config_file).dynamics.record().temperature_schedule == ((0.0, 300.0),)


def test_steps_follow_from_length_and_step(config_file):
    overrides = ["dynamics.length_ps=0.3", "dynamics.timestep_fs=0.1"]
    assert load_config(config_file, overrides).dynamics.n_steps == 3000  # 0.3/0.1 is 2.9999...


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dynamics.timestep_ps=1", ["timestep_ps is not a known key", "dynamics.timestep_fs"]),
        ("threshold.energy_kcal=1", ["did you mean threshold.energy_kcal_per_mol?"]),
        ("dynamics.temperature=3", ["did you mean dynamics.temperature_K?"]),
        ("timestep_fs=1", ["did you mean dynamics.timestep_fs?"]),
        ("dynamic.kind=npt", ["did you mean dynamics?"]),
        ("dynamics.qqqqq=1", ["expected one of dynamics.kind"]),
        ("dynamics.timestep_fs=0.5 fs", ["'0.5 fs'", "number without a unit", "write 0.5"]),
        ("dynamics.temperature_K=hot", ["'hot'", "expected a number"]),
        ("dynamics.kind=nve", ["'nve'", "'langevin', 'verlet' or 'npt'"]),
        ("dynamics.timestep_fs=-1", ["is -1", "greater than 0"]),
        ("potential.prior_std=nan", ["finite"]),
        ("sampler.chains=1", ["greater than or equal to 2"]),
        ("dynamics=3", ["expected keys with values below it"]),
        ("threshold.energy_kcal_per_mol=1", ["has both", "null for the other"]),
        ("threshold.energy_eV=null", ["has neither"]),
        ("dynamics.temperature_K=null", ["has neither of temperature_K"]),
        ("dynamics.length_ps=null", ["dynamics.length_ps is null"]),
        ("dynamics.length_ps=1e-5", ["below one timestep_fs"]),
        ("sampler.noise_free_fraction=0.99", ["sum of at most 1"]),
        ("sampler.schedule=x", ["expected 'published' or 'rto'"]),
        ("sampler.steps=10", ["only schedule published uses", "sampler.schedule to published"]),
        ("sampler.steps=2000", ["has steps, which only schedule published uses"]),
        ("sampler.step_size=1e-3", ["has step_size, which only schedule published uses"]),
        ("potential.family=x", ["'mace', 'chgnet' or 'nequip'"]),
        ("material.name=a/b", ["material.name is 'a/b'"]),
        ("run.seed=1.5", ["run.seed is 1.5", "integer"]),
        ("run.seed", ["is not section.key=value"]),
        ("run.seed=[", ["override run.seed", "not valid YAML"]),
        ("material.structure.x=1", ["goes below a value"]),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_says_what_to_do(config_file, override, words):
    message = refused(config_file, override)
    assert [word for word in words if word not in message] == [], message


@given(key=st.sampled_from(known_keys(RunConfig)), value=st.text(max_size=12))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_value_is_taken_or_refused_in_one_line(config_file, key, value):
    try:
        config = load_config(config_file, [f"{key}={value}"])
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert config_from_yaml(config.to_yaml()) == config


def test_a_wrong_family_is_the_only_thing_named(config_file):
    assert ";" not in refused(config_file, "potential.family=x")


def test_missing_sections_say_what_they_are_for(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("material: {structure: H2}\nthreshold: {energy_eV: 1}\nreference: {}\n")
    message = refused(path)
    assert "dynamics is missing" in message
    assert "reference.engine is missing, set it (pyscf" in message


@pytest.mark.parametrize(
    ("schedule", "word"),
    [("[]", "empty"), ("[[1, 300], [0, 300]]", "out of order"), ("[[0, 0]]", "0 K")],
)
def test_impossible_temperature_schedules(config_file, schedule, word):
    override = f"dynamics.temperature_schedule_ps_K={schedule}"
    assert word in refused(config_file, "dynamics.temperature_K=null", override)


def test_verlet_keeps_no_temperature_schedule(config_file):
    overrides = ["dynamics.temperature_K=null", "dynamics.temperature_schedule_ps_K=[[0, 300]]"]
    assert "verlet" in refused(config_file, *overrides, "dynamics.kind=verlet")


def test_equilibration_comes_before_other_dynamics(config_file):
    before = load_config(config_file)
    assert "equilibration_ps" not in before.to_yaml()
    assert before.dynamics.record().equilibration_fs is None
    overrides = ["dynamics.kind=verlet", "dynamics.equilibration_ps=0.02"]
    config = load_config(config_file, overrides)
    assert config.dynamics.record().equilibration_fs == 20.0
    assert config_from_yaml(config.to_yaml()) == config
    assert config.digest() != load_config(config_file, overrides[:1]).digest()
    assert "langevin all along" in refused(config_file, overrides[1])
    assert "expected less" in refused(config_file, overrides[0], "dynamics.equilibration_ps=0.1")


def test_files_that_are_no_config(tmp_path):
    assert "does not exist" in refused(tmp_path / "nowhere.yaml")
    assert "cannot be read" in refused(tmp_path)
    bad = tmp_path / "bad.yaml"
    for text, word in [
        ("material: {", "bad.yaml line 1"),
        ("- 1", "holds no keys"),
        ("", "holds no keys"),
        ("run: {seed: 1}\nrun: {seed: 2}", "'run' appears twice"),
        ("run: {seed: 1, seed: 2}", "'seed' appears twice"),
        ("run: \x00", "not valid YAML"),
    ]:
        bad.write_text(text)
        assert word in refused(bad)


def test_yaml_means_what_a_physicist_wrote(config_file):
    overrides = ["material.structure=NO", "material.multiplicity=2", "sampler.step_size=1e-3"]
    config = load_config(
        config_file, [*PUBLISHED, *overrides, "reference.options={accuracy: 1e-2}"]
    )
    assert config.material.structure == "NO"
    assert config.sampler.step_size == 1e-3
    assert config.reference.spec() == {"engine": "tblite", "accuracy": 0.01}


@pytest.mark.parametrize("name", ["NO", "1e3", "12", "null", "true", "x: y #"])
def test_the_resolved_copy_reads_back_equal(config_file, tmp_path, name):
    reference = {"engine": name, "options": {"a": 1e-9, "b": name}}
    config = parse_config(yaml.safe_load(SMALLEST) | {"reference": reference})
    copy = tmp_path / "config.yaml"
    copy.write_text(config.to_yaml())
    assert load_config(copy) == config == config_from_yaml(config.to_yaml())
    assert load_config(copy).digest() == config.digest()
    assert yaml.safe_load(config.to_yaml()) == config.model_dump(mode="json")


def test_a_config_cannot_be_changed(config_file):
    config = load_config(config_file)
    with pytest.raises(ValidationError, match="frozen"):
        config.run.seed = 2


def test_digest_is_the_same_in_another_process(config_file):
    code = "import sys, bnnflow; print(bnnflow.load_config(sys.argv[1]).digest())"
    command = [sys.executable, "-c", code, str(config_file)]
    root = Path(__file__).parents[1]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert other.stdout.strip() == load_config(config_file).digest()


def test_digest_sees_the_physics_and_not_the_layout(config_file):
    digest = load_config(config_file).digest()
    layout = ["run.folder=x", "run.site=x", "potential.device=cuda", "reference.timeout_s=9"]
    for override in layout:
        assert load_config(config_file, [override]).digest() == digest
    for override in ["run.seed=2", "threshold.energy_eV=0.06", "reference.options.accuracy=0.1"]:
        assert load_config(config_file, [override]).digest() != digest


def test_structure_file_is_found_beside_the_config_and_known_by_its_content(tmp_path, monkeypatch):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        write(folder / "water.xyz", molecule("H2O"))
        (folder / "run.yaml").write_text(SMALLEST.replace("H2", "water.xyz"))
    one, two = (load_config(folder / "run.yaml") for folder in folders)
    assert one.material.structure == str(folders[0] / "water.xyz")
    assert one.material.name == "water"
    assert one.digest() == two.digest()
    monkeypatch.chdir(folders[1])
    override = load_config(folders[0] / "run.yaml", ["material.structure=water.xyz"])
    assert override.material.structure == str(folders[1] / "water.xyz")


def test_a_changed_structure_file_is_another_run(tmp_path):
    write(tmp_path / "mol.xyz", molecule("H2O"))
    (tmp_path / "run.yaml").write_text(SMALLEST.replace("H2", "mol.xyz"))
    before = load_config(tmp_path / "run.yaml")
    (tmp_path / "config.yaml").write_text(before.to_yaml())
    write(tmp_path / "mol.xyz", molecule("NH3"))
    assert load_config(tmp_path / "run.yaml").digest() != before.digest()
    with pytest.raises(StructureError, match="has changed since"):
        load_config(tmp_path / "config.yaml")
    assert config_from_yaml(before.to_yaml()) == before


def test_every_key_is_documented():
    keys = known_keys(RunConfig)
    assert len(keys) == len(set(keys)) > 50
    for key, section in RunConfig.model_fields.items():
        for name, field in getattr(section.annotation, "model_fields", {key: section}).items():
            assert field.description, name


class FakePotential:
    """As much of a potential as the check reads."""

    elements = (1, 6)
    cutoff = 5.0
    has_stress = False
    dtype = torch.float64

    def __init__(self, n_active: int = 100) -> None:
        self.n_active = n_active

    def active(self, elements: tuple[int, ...]) -> torch.Tensor:
        return torch.ones(self.n_active, dtype=torch.bool)


def test_check_run_passes_what_fits_and_returns_the_structure(config_file, monkeypatch):
    monkeypatch.setattr(registry, "load_potential", lambda spec: FakePotential())
    assert check_run(load_config(config_file)).numbers.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("overrides", "error", "word"),
    [
        (["material.structure=H2O"], StructureError, "lacks O"),
        (["material.structure=nowhere.xyz"], StructureError, "neither a file"),
        (["material.charge=1"], StructureError, "odd number"),
        (["reference.engine=vaps"], ConfigError, "unknown reference engine"),
        (["reference.options.metod=x"], ConfigError, "did you mean method"),
        (["dynamics.kind=npt"], ConfigError, "not periodic"),
    ],
)
def test_check_run_refuses_what_does_not_fit(config_file, monkeypatch, overrides, error, word):
    monkeypatch.setattr(registry, "load_potential", lambda spec: FakePotential())
    with pytest.raises(error, match=word):
        check_run(load_config(config_file, overrides))


def test_rto_needs_room_for_tens_of_labels(config_file, monkeypatch):
    potential = FakePotential(6_000_000)
    monkeypatch.setattr(registry, "load_potential", lambda spec: potential)
    assert check_run(load_config(config_file))  # 25 labels of 7 rows
    potential.n_active = 9_000_000
    with pytest.raises(ConfigError, match=r"holds 17 labels .* set sampler.schedule to published"):
        check_run(load_config(config_file))


def test_npt_needs_stress_from_model_and_reference(config_file, tmp_path, monkeypatch):
    atoms = molecule("H2", cell=[8, 8, 8], pbc=True)
    write(tmp_path / "box.extxyz", atoms)
    npt = [f"material.structure={tmp_path / 'box.extxyz'}", "dynamics.kind=npt"]
    monkeypatch.setattr(registry, "load_potential", lambda spec: FakePotential())
    with pytest.raises(ModelError, match="gives no stress"):
        check_run(load_config(config_file, npt))
    calculator = [
        "reference.engine=ase",
        "reference.options.calculator=ase.calculators.mopac.MOPAC",
    ]
    with pytest.raises(ReferenceError, match="gives no stress"):
        check_run(load_config(config_file, npt + calculator))


def test_a_mapping_makes_a_config_and_names_its_source_when_it_is_wrong():
    values = yaml.safe_load(SMALLEST)
    assert parse_config(values).threshold.energy_threshold_eV(1) == 0.05
    with pytest.raises(ConfigError, match=r"^mine: threshold.energy_eV .* greater than 0"):
        parse_config(values | {"threshold": {"energy_eV": 0}}, source="mine")
