"""Campaigns: entries and conditions, one-line errors, names and seeds of runs, resolved copy."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.io import write

from bnnflow.config import CampaignConfig, RunConfig, load_campaign, load_config, parse_campaign
from bnnflow.config.campaign import SETTINGS, SOURCES
from bnnflow.config.expansion import expand, structure_file
from bnnflow.config.materials import find_materials
from bnnflow.config.messages import known_keys
from bnnflow.errors import ConfigError, StructureError
from bnnflow.md import start
from bnnflow.sources import Unusable
from workflows.session import derived_seed

SMALL = """
name: small
materials:
  - structure: ethanol
  - {structure: OH, multiplicity: 2, threshold: {energy_eV: 0.01, per: atom}}
threshold: {energy_eV: 0.05}
dynamics: {length_ps: 0.1}
conditions: {temperature_K: 300}
reference: {engine: tblite}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def runs(campaign, folder="nowhere"):
    materials, bad = find_materials(campaign)
    assert not bad
    return expand(campaign, materials, Path(folder))


def refused(path, *overrides, error=ConfigError):
    with pytest.raises(error) as caught:
        runs(load_campaign(path, overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_material_has_its_own_state_and_threshold(file):
    ethanol, radical = runs(load_campaign(file))
    assert [run.name for run in (ethanol, radical)] == ["ethanol", "OH"]
    assert radical.config.material.name == "OH" and radical.config.material.multiplicity == 2
    assert ethanol.config.threshold.energy_threshold_eV(9) == 0.05
    assert radical.config.threshold.energy_threshold_eV(2) == 0.02
    assert {run.config.dynamics.temperature_K for run in (ethanol, radical)} == {300}
    assert ethanol.material.origin == "structure ethanol"


def test_a_material_changes_single_keys_of_the_shared_sections(file):
    overrides = ["sampler.chains=4", "materials=[{structure: H2O, sampler: {trajectories: 7}}]"]
    (water,) = runs(load_campaign(file, overrides))
    assert (water.config.sampler.chains, water.config.sampler.trajectories) == (4, 7)


def test_conditions_are_a_grid_and_only_what_varies_is_in_the_name(file):
    grid = runs(
        load_campaign(
            file,
            [
                "materials=[{structure: bulk:Si}]",
                "dynamics.kind=npt",
                "conditions={temperature_K: [300, 450.5], pressure_bar: [1, 1e4], seeds: 7}",
                "conditions.walkers=2",
            ],
        )
    )
    assert len(grid) == 8
    assert [run.name for run in grid[:3]] == [
        "bulk-Si-300K-1bar-w1",
        "bulk-Si-300K-1bar-w2",
        "bulk-Si-300K-10000bar-w1",
    ]
    assert grid[-1].name == "bulk-Si-450.5K-10000bar-w2"
    dynamics = grid[-1].config.dynamics
    assert (dynamics.temperature_K, dynamics.pressure_bar) == (450.5, 1e4)
    assert {run.config.run.seed for run in grid} == {7}


def test_walkers_and_temperatures_never_share_noise(file):
    """Three walkers at two temperatures: six first velocities, six streams, six sets of chains."""
    overrides = ["materials=[{structure: H2O}]", "conditions={temperature_K: [300, 400]}"]
    six = runs(load_campaign(file, [*overrides, "conditions.walkers=3"]))
    checkpoints = [
        start(
            run.material.structure,
            dynamics=run.config.dynamics.record(),
            seed=derived_seed(run.config.run.seed, "walker", run.config.material.name),
        )
        for run in six
    ]
    directions = [c.velocities / np.linalg.norm(c.velocities) for c in checkpoints]
    for index, one in enumerate(directions):
        assert all(abs(np.sum(one * other)) < 0.999 for other in directions[:index])
    assert len({str(c.rng) for c in checkpoints}) == 6
    chains = {derived_seed(run.config.run.seed, "chains", run.config.material.name) for run in six}
    assert len(chains) == 6


def test_seeds_make_runs_of_their_own(file):
    both = runs(load_campaign(file, ["materials=[{structure: H2}]", "conditions.seeds=[1, 2]"]))
    assert [(run.name, run.config.run.seed) for run in both] == [("H2-s1", 1), ("H2-s2", 2)]


def test_names_of_materials_are_unique_over_all_entries(file, tmp_path):
    write(tmp_path / "H2.xyz", molecule("H2"))
    sources = ["structure: H2", f"file: {tmp_path}/H2.xyz", f"folder: {tmp_path}, name: all"]
    entries = ", ".join(f"{{{source}}}" for source in [*sources, "structure: H2, name: h2"])
    found = runs(load_campaign(file, [f"materials=[{entries}]"]))
    assert [run.name for run in found] == ["H2", "H2-2", "all", "h2-3"]
    assert "the name H2 was taken" in found[1].material.origin
    assert found[2].material.origin == str(tmp_path / "H2.xyz")


def test_a_name_stands_before_those_of_several_frames(file, tmp_path):
    write(tmp_path / "two.extxyz", [molecule("H2"), molecule("H2O")])
    found = runs(load_campaign(file, [f"materials=[{{file: {tmp_path / 'two.extxyz'}, name: x}}]"]))
    assert [run.name for run in found] == ["x-two-0", "x-two-1"]


def test_two_runs_with_one_name_are_refused(file):
    campaign = load_campaign(file)
    materials, _ = find_materials(campaign)
    with pytest.raises(ConfigError, match="two runs would be called ethanol"):
        expand(campaign, [materials[0], materials[0]], Path("nowhere"))


def test_what_cannot_be_used_is_told_apart(file, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "bad.xyz").write_text("nothing")
    write(tmp_path / "frames" / "good.xyz", molecule("H2"))
    materials, bad = find_materials(
        load_campaign(file, [f"materials=[{{folder: {tmp_path}/frames}}]"])
    )
    assert [material.name for material in materials] == ["good"]
    assert isinstance(bad[0], Unusable) and bad[0].name == "bad"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("conditons.walkers=3", ["did you mean conditions?"]),
        ("conditions.walker=3", ["did you mean conditions.walkers?"]),
        ("conditions.walkers=0", ["conditions.walkers is 0", "greater than 0"]),
        ("conditions.temperature_K=[300, x]", ["conditions.temperature_K.1 is 'x'"]),
        ("conditions.temperature_K=[300, 300]", ["a value of temperature_K twice"]),
        ("conditions.pressure_bar=1", ["dynamics.kind is langevin", "npt"]),
        ("dynamics.temperature_K=300", ["conditions.temperature_K are both set"]),
        ("dynamics.timestep_ps=1", ["did you mean dynamics.timestep_fs?"]),
        ("threshold.energy_eV=null", ["small.yaml, run of materials.0: threshold has neither"]),
        ("run.folder=x", ["run.folder is set"]),
        ("materials=[{structure: H2, run: {site: x}}]", ["run.site is set for one material"]),
        ("name=a/b", ["name is 'a/b'"]),
        ("materials=[]", ["has no materials"]),
        ("materials=3", ["materials is 3"]),
        ("materials=[{fil: x}]", ["did you mean materials.0.file?"]),
        ("materials=[{charge: 1}]", ["has none of them, expected exactly one of structure, file"]),
        ("materials=[{structure: H2, file: x}]", ["has structure and file"]),
        ("materials=[{structure: H2, frames: 0}]", ["has frames, which structure does not use"]),
        ("materials=[{optimade: nsites=1}]", ["without providers"]),
        ("materials=[{structure: H2, sampler: {chain: 2}}]", ["did you mean sampler.chains?"]),
        ("on_bad_material=ignore", ["'refuse' or 'set_aside'"]),
        ("potential.model", ["is not section.key=value"]),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_one_line_that_says_what_to_do(file, override, words):
    message = refused(file, override)
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    ("entry", "word"),
    [("structure: ethanl", "did you mean ethanol"), ("file: no.xyz", "is not a file")],
)
def test_a_source_that_gives_nothing_is_one_line(file, entry, word):
    assert word in refused(file, f"materials=[{{{entry}}}]", error=StructureError)


def test_the_resolved_copy_reads_back_equal(file, tmp_path):
    campaign = load_campaign(file, ["materials=[{structure: NO, multiplicity: 2, name: '1e3'}]"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(campaign.to_yaml())
    assert load_campaign(copy) == campaign
    assert campaign.materials[0].structure == "NO" and campaign.materials[0].name == "1e3"


def test_files_are_found_beside_the_campaign(file, tmp_path, monkeypatch):
    write(tmp_path / "mol.xyz", molecule("H2O"))
    file.write_text(SMALL.replace("structure: ethanol", "file: mol.xyz"))
    monkeypatch.chdir("/")
    assert runs(load_campaign(file))[0].material.origin == str(tmp_path / "mol.xyz")


def test_the_structure_of_a_run_is_the_file_of_its_campaign(file, tmp_path):
    run = runs(load_campaign(file), tmp_path)[0]
    path, text = structure_file(tmp_path, run.material)
    path.parent.mkdir()
    path.write_text(text)
    assert run.config.material.structure == str(path)
    loaded = run.config.material.load()
    assert loaded.positions.tobytes() == run.material.structure.positions.tobytes()
    again = runs(load_campaign(file), tmp_path)[0]  # the file is there now, and its checksum fits
    assert again.config.digest() == run.config.digest()


def test_a_run_and_a_campaign_are_told_apart(file, tmp_path):
    with pytest.raises(ConfigError, match=r"small.yaml is a campaign: .* `bnnflow campaign`"):
        load_config(file)
    run = tmp_path / "run.yaml"
    run.write_text("material: {structure: H2}")
    assert "is the config of one run" in refused(run)


def test_a_mapping_makes_a_campaign_and_names_its_source():
    with pytest.raises(ConfigError, match=r"^mine: name is missing"):
        parse_campaign({"materials": [{"structure": "H2"}]}, source="mine")


def test_the_entries_of_the_page_are_entries():
    page = (Path(__file__).parents[1] / "docs" / "campaigns.md").read_text()
    entries = yaml.safe_load(page.split("## Materials")[1].split("```")[1].removeprefix("yaml"))
    kinds = [entry.kind for entry in parse_campaign(yaml.safe_load(SMALL) | entries).materials]
    assert tuple(kinds) == SOURCES


def test_a_campaign_may_hold_every_section_of_a_run():
    fields = RunConfig.model_fields.items()
    sections = {name for name, field in fields if hasattr(field.annotation, "model_fields")}
    assert set(SETTINGS) == sections - {"material"}


def test_every_key_is_documented():
    keys = known_keys(CampaignConfig)
    assert {"materials.optimade", "conditions.walkers", "set_aside.reason"} <= set(keys)
    assert all(field.description for field in CampaignConfig.model_fields.values())
