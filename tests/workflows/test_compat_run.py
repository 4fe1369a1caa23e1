"""Runs with `compat: rensmeyer2026`: the loop's own faults on canned answers, and a real run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from canned import (
    Answers,
    first_state,
    model_energy,
    of_kind,
    plan,
    play,
    reference_energy,
    structure,
)
from tiny_runs import assert_same_run, settings

from bnnflow.config import RunConfig, config_from_yaml, parse_config
from bnnflow.data import RunStore, read_run
from bnnflow.potentials.ensemble import load_member
from bnnflow.potentials.registry import load_potential
from bnnflow.records import Calibration, Commit, Faults, Labelled, Phase, SampleRequest
from bnnflow.uncertainty import update
from workflows.otf import fine_tune as loop
from workflows.session import fine_tune, resume

RENSMEYER = Faults.of("rensmeyer2026")


def labelled(uncertain: list[int], **changes: object) -> list[Labelled]:
    yielded = play(loop(first_state(), plan(**changes)), Answers(uncertain=uncertain))
    return of_kind(yielded, Labelled)


def test_the_second_label_teaches_the_calibration_nothing_and_the_third_does() -> None:
    first, second, third = labelled([2, 5], faults=RENSMEYER)
    assert first.calibration == second.calibration == Calibration(1.5, 10.0)
    assert np.isfinite(second.error) and second.prediction is not None
    expected = update(Calibration(1.5, 10.0), error=third.error, std=third.prediction.energy_std)
    assert third.calibration == expected
    assert [each.calibration.count for each in labelled([2, 5])] == [0, 1, 2]


def test_the_offset_and_energies_on_it_are_single_precision() -> None:
    foundation = model_energy(structure(0), 0)
    energies = [reference_energy(structure(step)) for step in (0, 2)]
    shift = np.float32(foundation) - np.float32(energies[0])
    yielded = play(loop(first_state(), plan(faults=RENSMEYER)), Answers(uncertain=[2]))
    requests = of_kind(yielded, SampleRequest)
    assert {each.energy_shift for each in requests} == {float(shift)}
    assert {each.faults for each in requests} == {RENSMEYER}
    found = [each.shifted for each in of_kind(yielded, Labelled)]
    assert found == [float(np.float32(energy) + shift) for energy in energies]
    assert found[1] != energies[1] + (foundation - energies[0])


def preset(model: Path) -> RunConfig:
    """Two femtoseconds of water."""
    base = settings(model, dynamics={"length_ps": 0.002}).model_dump(mode="json")
    return parse_config(base | {"compat": "rensmeyer2026", "calibration": {}})


@pytest.fixture(scope="module")
def compat_run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run with the preset that nobody interrupted."""
    folder = tmp_path_factory.mktemp("compat") / "run"
    fine_tune([preset(model)], folders=[folder], inline=True)
    return folder


def test_a_run_with_the_preset_ends_and_says_so(compat_run: Path) -> None:
    run = read_run(compat_run)
    assert run.state.phase is Phase.DONE
    assert run.metadata["schedule"] == "compat: rensmeyer2026"
    config = config_from_yaml((compat_run / "config.yaml").read_text())
    assert config.compat == "rensmeyer2026"
    assert (config.calibration.shape, config.calibration.scale) == (1.5, 10.0)
    assert run.state.energy_shift == float(np.float32(run.state.energy_shift))


def test_its_calibration_learned_from_all_labels_but_two(compat_run: Path) -> None:
    state = read_run(compat_run).state
    assert len(state.labels) > 2
    assert state.calibration.count == len(state.labels) - 2


def test_its_members_moved_in_every_weight(compat_run: Path, model: Path) -> None:
    config = config_from_yaml((compat_run / "config.yaml").read_text())
    spec, ensemble = config.potential.record(), read_run(compat_run).state.ensemble
    potential = load_potential(spec)
    absent = ~potential.active((1, 8))
    member = load_member(spec, ensemble, 0)
    assert torch.all(member[absent] != potential.prior_mean()[absent])


def test_a_resumed_run_keeps_the_preset(
    compat_run: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before its second update, which then has the faults of the folder's config."""
    commit = RunStore.commit

    def stop(store: RunStore, each: Commit) -> int:
        number = commit(store, each)
        if each.state.phase is Phase.UPDATE and len(each.state.labels) == 2:
            raise InterruptedError
        return number

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(RunStore, "commit", stop)
        fine_tune([preset(model)], folders=[tmp_path / "run"], inline=True)
    resume([tmp_path / "run"], inline=True)
    assert_same_run(tmp_path / "run", compat_run)
