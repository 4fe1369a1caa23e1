"""What a run says while it goes on."""

from __future__ import annotations

from canned import first_state, plan

from bnnflow.records import Commit, EnsembleRef, SampleResult, Updated
from bnnflow.units import to_kcal_per_mol
from workflows.progress import MISFIT_KCAL_PER_MOL_A, MISFIT_REMEDY, Progress

LIMIT_EV_A = MISFIT_KCAL_PER_MOL_A / to_kcal_per_mol(1.0)


def update(version: int, *force_rmse: float) -> Commit:
    """Two tasks with a chain each; force_rmse: eV/Å of the chains."""
    results = tuple(
        SampleResult(version, (chain,), (1.0,), (0.01,), (force,), (0.8,), (0.1,), 2.0, "here")
        for chain, force in enumerate(force_rmse)
    )
    return Commit(first_state(), (Updated(EnsembleRef("v", version, 2), results),))


def test_an_ensemble_that_does_not_fit_its_own_data_is_told_of_until_it_does() -> None:
    lines: list[str] = []
    progress = Progress("CH3ONO", plan(), lines.append)
    warnings = []
    for version, size in enumerate([0.1, 0.9, 2.0, 3.0, 0.2, 2.5], start=1):
        lines.clear()
        progress.show(update(version, 0.5 * size * LIMIT_EV_A, 1.5 * size * LIMIT_EV_A))
        warnings.append([line for line in lines if "own data are off" in line])
    assert [len(each) for each in warnings] == [0, 0, 1, 0, 0, 1]
    assert warnings[2] == [
        f"CH3ONO  WARNING forces on its own data are off by 14.0 kcal/mol/Å: {MISFIT_REMEDY}"
    ]


def test_an_update_is_told_by_its_means_over_all_chains() -> None:
    lines: list[str] = []
    Progress("water", plan(), lines.append).show(update(3, 0.02, 0.04))
    force = to_kcal_per_mol(0.03)
    assert lines == [
        f"water  ensemble v3 took 2 s: on its data energy RMSE {to_kcal_per_mol(0.01):.3f} "
        f"kcal/mol, forces {force:.2f} kcal/mol/Å; kinetic temperature 1.00, acceptance 0.80"
    ]
