"""Runs merged into one posterior: labels of a potential that is known, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from runs_to_merge import frames, label_by, run_with, truth_of
from tiny_runs import RTO, settings

from bnnflow.config.sections import SamplerConfig
from bnnflow.errors import ConfigError, ModelError, RunFolderError, SamplerError
from bnnflow.potentials import load_ensemble, load_foundation, load_potential, model_info
from bnnflow.potentials.ensemble import load_member, mean_of_members
from bnnflow.potentials.fine_tuned import check_writable, save_fine_tuned
from bnnflow.records import EnsembleRef, PotentialSpec, SampleResult
from bnnflow.tasks import predict_one
from bnnflow.training.sample import sample
from workflows import merge_data, merge_sources
from workflows.cli import app
from workflows.console import guarded
from workflows.merge import merge
from workflows.session import derived_seed, fine_tune

SHIFTS = {"H2O": 2000.0, "CH3OH": -31.5}
"""eV, of the references' energy scales."""
SHORT = SamplerConfig(chains=2, trajectories=2, leapfrog_steps=2, max_jacobians=6, max_steps=12)

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Makes runs of a molecule whose labels come from the truth."""
    folder, truth = tmp_path_factory.mktemp("made"), truth_of(model)

    def make(name: str, as_name: str = "", *, count: int = 10, first: int = 0, **changes) -> Path:
        shift = SHIFTS[name]
        labels = [label_by(truth, each, shift=shift) for each in frames(name, count, first=first)]
        material = {"structure": name, "name": as_name or name}
        changed = {"material": material, "sampler": RTO, **changes}
        target = folder / (as_name or name)
        return target if target.exists() else run_with(settings(model, **changed), labels, target)

    return make


@pytest.fixture(scope="module")
def both(made: MakeRun, tmp_path_factory: pytest.TempPathFactory):
    """Water and methanol merged; not to be changed."""
    folder = tmp_path_factory.mktemp("both") / "class"
    return merge([made("H2O"), made("CH3OH")], into=folder, sampler=SHORT, inline=True)


def root_mean_square(values) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate([np.ravel(v) for v in values])))))


def test_merged_model_knows_both_materials_on_new_frames(model: Path, both) -> None:
    """Forces, and energies on each composition's own scale, of frames that nobody labelled. The
    chains know them closely; the mean of their weights, of a network as small as this, roughly."""
    spec = PotentialSpec(str(model))
    potentials = {
        "old": load_foundation(spec),
        "chains": load_ensemble(spec, EnsembleRef(str(both.folder / "ensemble"), 1, 2)),
        "weights": load_foundation(PotentialSpec(str(both.model))),
    }
    truth = truth_of(model)
    for name in SHIFTS:
        new = frames(name, 8, first=100)
        true = [truth.members(each) for each in new]
        forces, energy = {}, {}
        for kind, ensemble in potentials.items():
            pairs = [(ensemble.members(x), y) for x, y in zip(new, true, strict=True)]
            forces[kind] = root_mean_square([a.forces.mean(0) - b.forces[0] for a, b in pairs])
            energy[kind] = float(np.std([a.energy.mean() - b.energy[0] for a, b in pairs]))
        for errors in (forces, energy):
            assert errors["chains"] < 0.1 * errors["old"], name
            assert errors["weights"] < 0.9 * errors["old"], name


def test_shifts_are_those_of_the_compositions(model: Path, made: MakeRun, both) -> None:
    """In closed form: the mean difference of the foundation model from all labels. It differs from
    the scale put in by the mean energy error of the foundation model, which no label can tell."""
    truth, foundation = truth_of(model), load_foundation(PotentialSpec(str(model)))
    for name, formula in (("H2O", "H2O"), ("CH3OH", "H4CO")):
        pairs = [(foundation.members(x), truth.members(x)) for x in frames(name, 10)]
        off = np.mean([a.energy[0] - b.energy[0] for a, b in pairs])
        assert both.card["energy_shifts_eV"][formula] == pytest.approx(SHIFTS[name] + off, abs=1e-3)


def test_walkers_of_one_material_have_one_shift(made: MakeRun, tmp_path: Path) -> None:
    """Energies of both are on one scale, whichever frame each of them began with."""
    one, two = made("H2O", "water-w1", count=3), made("H2O", "water-w2", count=5, first=30)
    sources = merge_sources.collect([one, two])
    labels = [label for source in sources for label in source.labels]
    foundation = load_foundation(sources[0].run.config.potential.record())
    found = [
        tuple(predict_one(foundation, x.structure, energy_std_floor=0.1) for x in source.labels)
        for source in sources
    ]
    spec = sources[0].run.config.potential.record()
    data = merge_data.merged_data(sources, found, SHORT, spec)
    assert len(set(data.energy_shifts)) == 1 and len(data.energy_shifts) == len(labels) == 8
    request = data.request(spec, SHORT, EnsembleRef("", 1, 2), seed=1)
    assert request.energy_shift == data.energy_shifts[0]
    assert request.energy_std == sources[0].run.floor


def test_one_run_merged_is_one_update_with_all_its_labels(made: MakeRun, tmp_path: Path) -> None:
    """Bit for bit, given the shift: the merge adds nothing to what an update does."""
    folder = made("H2O")
    merged = merge([folder], into=tmp_path / "alone", sampler=SHORT, inline=True)
    (source,) = merge_sources.collect([folder])
    config = source.run.config
    (shift,) = merged.card["energy_shifts_eV"].values()
    request = merge_data.MergedData(
        labels=source.labels,
        directories=source.directories,
        energy_shifts=(shift,) * len(source.labels),
        energy_stds=(source.run.floor,) * len(source.labels),
        prior=merge_data.SuggestedPrior(**merged.card["prior"]),
    ).request(
        config.potential.record(),
        SHORT,
        EnsembleRef(str(tmp_path / "update"), 1, 2),
        seed=derived_seed(1, "merge"),
    )
    sample(request, list(source.labels))
    spec = config.potential.record()
    for chain in range(2):
        alone = load_member(spec, EnsembleRef(request.directory, 1, 2), chain)
        whole = load_member(spec, EnsembleRef(str(tmp_path / "alone" / "ensemble"), 1, 2), chain)
        assert torch.equal(alone, whole)


def test_model_file_is_the_mean_of_the_chains(model: Path, both) -> None:
    spec = PotentialSpec(str(model))
    mean = mean_of_members(spec, EnsembleRef(str(both.folder / "ensemble"), 1, 2), (0, 1))
    potential = load_potential(PotentialSpec(str(both.model)))
    weights = ~potential.heads()
    assert torch.equal(potential.prior_mean()[weights], mean[weights])
    assert (mean - load_potential(spec).prior_mean())[weights].abs().max() > 0.01
    assert potential.elements == load_potential(spec).elements


def test_chains_that_did_not_find_the_labels_are_left_out(both) -> None:
    usual = SampleResult(
        1, (0, 2), (1.0,) * 2, (0.01, 0.02), (0.1, 0.2), (0.5,) * 2, (0.0,) * 2, 1, ""
    )
    lost = replace(usual, chains=(1, 3), energy_rmse=(0.9, 0.02), force_rmse=(0.2, 0.3))
    assert merge_data.found_the_labels([usual, lost]) == (0, 2, 3)
    card = {**both.card, "chains": [vars(usual), vars(lost)], "chains_of_the_mean": [0, 2, 3]}
    assert "chains [1] did not find" in replace(both, card=card).table()
    assert "did not find" not in both.table()


def test_card_says_what_the_model_was_made_of(made: MakeRun, both) -> None:
    card = json.loads((both.folder / "model.json").read_text())
    assert card == json.loads(json.dumps(both.card))
    info = model_info(str(both.model))
    assert info["sha256"] == card["sha256"] and card["level"] == "known"
    assert card["foundation"]["sha256"] and card["labels"] == 20
    names = [(run["name"], run["composition"], run["labels"]) for run in card["runs"]]
    assert names == [("H2O", "H2O", 10), ("CH3OH", "H4CO", 10)]
    assert len({run["labels_sha256"] for run in card["runs"]}) == 2
    assert card["errors"]["held_out"] is None and len(card["chains"]) == 1
    assert "nothing was held out" in both.table()


def test_held_out_material_is_judged_and_not_learned(made: MakeRun, both, tmp_path: Path) -> None:
    folders = [made("H2O"), made("CH3OH")]
    found = merge(folders, into=tmp_path, hold_out=["CH3OH"], sampler=SHORT, inline=True)
    assert found.card["held_out"] == ["CH3OH"] and found.card["labels"] == 10
    assert set(found.card["energy_shifts_eV"]) == {"H2O"}
    out = found.card["errors"]["held_out"]
    assert out["foundation"] == found.card["runs"][1]["errors"]["foundation"]
    assert "CH3OH (held out)" in found.table()
    for factor, told in ((0.5, "prior_force_spread"), (2.0, "start from the foundation model")):
        merged = {key: factor * value for key, value in out["foundation"].items()}
        errors = {**found.card["errors"], "held_out": {**out, "merged": merged}}
        assert told in replace(found, card={**found.card, "errors": errors}).table()


def test_next_run_starts_from_the_file(model: Path, both, tmp_path: Path) -> None:
    config = settings(both.model, sampler=RTO, dynamics={"length_ps": 0.001})
    fine_tune([config], folders=[tmp_path / "run"], inline=True)
    (source,) = merge_sources.collect([tmp_path / "run"])
    potential = source.run.config.potential
    assert potential.checksum == both.card["sha256"]
    assert source.run.ensemble is not None


def test_runs_from_several_models_are_refused(
    model: Path, made: MakeRun, both, tmp_path: Path
) -> None:
    label = label_by(truth_of(model), frames("H2O", 1)[0], shift=0.0)
    later = run_with(settings(both.model, sampler=RTO), [label], tmp_path / "later")
    with pytest.raises(RunFolderError, match=r"2 foundation models.*model.safetensors.*H2O"):
        merge_sources.collect([made("H2O"), later])


def test_mixed_levels_are_refused(model: Path, made: MakeRun, tmp_path: Path) -> None:
    label = label_by(truth_of(model), frames("H2O", 1)[0], shift=0.0, level="other")
    other = run_with(settings(model, sampler=RTO), [label], tmp_path / "other")
    with pytest.raises(RunFolderError, match=r"2 levels of theory.*known: CH3OH; other: H2O"):
        merge([made("CH3OH"), other], into=tmp_path / "class", inline=True)
    assert not (tmp_path / "class").exists()


@pytest.mark.parametrize(
    ("hold_out", "message"),
    [
        (["ethanol"], r"no run with labels is called ethanol.*CH3OH, H2O"),
        (["H2O", "CH3OH"], "every run is held out"),
        (["water-w1"], "some runs of H2O are held out"),
    ],
)
def test_hold_outs_that_make_no_sense_are_refused(
    made: MakeRun, hold_out: list[str], message: str
) -> None:
    runs = [made("H2O"), made("CH3OH"), made("H2O", "water-w1", count=3)]
    with pytest.raises(ConfigError, match=message):
        merge_sources.collect(runs[:2] if "w1" not in hold_out[0] else runs, hold_out)


def test_what_does_not_fit_is_refused_with_what_does(
    made: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = merge_sources.collect([made("H2O"), made("CH3OH")])
    spec = sources[0].run.config.potential.record()
    potential = load_potential(spec)
    size = (1 + 3 * 6) * int(potential.active((1, 6, 8)).sum()) * 4
    monkeypatch.setattr(merge_data, "LARGEST_JACOBIAN", 20 * size)
    merge_data.require_room(sources, spec)
    monkeypatch.setattr(merge_data, "LARGEST_JACOBIAN", 8 * size)
    with pytest.raises(
        SamplerError, match=r"20 labels of up to 6 atoms.*8 labels fit.*most-labels"
    ):
        merge([made("H2O"), made("CH3OH")], into=tmp_path / "class", sampler=SHORT, inline=True)
    assert not (tmp_path / "class").exists()
    merge_data.require_room(merge_sources.thinned(sources, 8), spec)


def test_fewer_labels_are_dealt_evenly(made: MakeRun) -> None:
    sources = merge_sources.collect([made("H2O"), made("CH3OH"), made("H2O", "water-w1", count=3)])
    thin = merge_sources.thinned(sources, 11)
    assert [len(source.labels) for source in thin] == [4, 4, 3]
    assert thin[0].directories[0] == sources[0].directories[0]
    assert thin[0].directories[-1] == sources[0].directories[-1]
    assert merge_sources.thinned(sources, None)[0].directories == sources[0].directories
    with pytest.raises(ConfigError, match="one of each"):
        merge_sources.thinned(sources, 2)


def test_other_refusals(made: MakeRun, both, tmp_path: Path) -> None:
    folder = made("H2O")
    with pytest.raises(RunFolderError, match="holds a merged model already"):
        merge([folder], into=both.folder, inline=True)
    with pytest.raises(RunFolderError, match="no run and no campaign"):
        merge([tmp_path], into=tmp_path / "class", inline=True)
    published = SamplerConfig(schedule="published", step_size=1e-3)
    with pytest.raises(ConfigError, match="expected rto"):
        merge([folder], into=tmp_path / "class", sampler=published, inline=True)
    with pytest.raises(ModelError, match="no MACE model"):
        check_writable(PotentialSpec("chgnet"))
    (folder / "labels" / "0000" / "result.h5").rename(folder / "labels" / "0000" / "away")
    try:
        with pytest.raises(RunFolderError, match="no finished label"):
            merge([folder], into=tmp_path / "class", inline=True)
    finally:
        (folder / "labels" / "0000" / "away").rename(folder / "labels" / "0000" / "result.h5")


def test_weights_of_another_type_keep_their_own(tiny_model64: Path, tmp_path: Path) -> None:
    spec = PotentialSpec(str(tiny_model64))
    parameters = load_potential(spec).prior_mean() + 0.25
    save_fine_tuned(spec, parameters, tmp_path / "out.safetensors")
    found = load_potential(PotentialSpec(str(tmp_path / "out.safetensors"), dtype="float64"))
    mine = load_potential(replace(spec, dtype="float64")).prior_mean()
    weights = ~found.heads()
    expected = mine + 0.25
    torch.testing.assert_close(found.prior_mean()[weights], expected[weights], atol=1e-6, rtol=1e-6)


@pytest.fixture
def tiny_model64(tmp_path: Path) -> Path:
    from tiny_mace import Tiny

    return Tiny("4x0e", tmp_path, torch.float64).path


def test_command_line(made: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["merge", str(made("H2O")), str(made("CH3OH")), "--into", str(tmp_path / "class")]
    words += ["--hold-out", "CH3OH", "--most-labels", "3", "--inline", "--json"]
    words += [f"sampler.{key}={getattr(SHORT, key)}" for key in SHORT.model_fields_set]
    assert guarded(lambda: app(words, standalone_mode=False)) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["labels"] == 3 and Path(card["model"]).is_file()
    assert card["sampler"]["chains"] == 2
    for wrong in ("run.seed=2", "sampler.chians=3"):
        command = partial(app, [*words, wrong], standalone_mode=False)
        assert guarded(command) == 2
        assert "sampler" in capsys.readouterr().err
