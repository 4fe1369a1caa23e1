"""Budgets and stop rules, on runs whose every task takes a known time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from canned import Answers, Store, first_state, model_energy, plan, reference_energy, structure
from scipy import stats

from bnnflow.config.limits import LimitsConfig
from bnnflow.errors import ConfigError, TaskError
from bnnflow.records import (
    Calibration,
    Commit,
    Estimates,
    Failure,
    Label,
    Labelled,
    LabelRequest,
    LoopState,
    Reason,
    SampleRequest,
    SampleResult,
    Spent,
)
from bnnflow.units import to_kcal_per_mol
from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.ledger import Ledger
from workflows.limits import Budget, reason_to_leave
from workflows.otf import fine_tune
from workflows.simulation import SimulatedPools

NODES = {Pool.GPU: 0.25, Pool.DFT: 2.0, Pool.MD: 1.0}
LABEL_S, UPDATE_S, MD_S = 1800.0, 600.0, 36.0


def seconds(_pool: Pool, request: Any) -> float:
    if isinstance(request, LabelRequest):
        return LABEL_S
    return UPDATE_S if isinstance(request, SampleRequest) else MD_S


def answered(answers: Answers) -> Any:
    """Answers that say how long they took."""

    def answer(request: Any) -> Any:
        found = answers(request)
        if isinstance(found, (Label, SampleResult)):
            return replace(found, seconds=seconds(Pool.MD, request))
        return replace(found, seconds=MD_S) if hasattr(found, "outcome") else found

    return answer


def run(
    limits: LimitsConfig, answers: Answers, state: LoopState | None = None, **changes: Any
) -> tuple[Store, Ledger, list[str]]:
    store, said = Store(), []
    pools = SimulatedPools(
        dict.fromkeys(Pool, 4), seconds=seconds, answer=answered(answers), chains_per_task=2
    )
    made = plan(n_steps=40, segment_steps=4, **changes)
    ledger = Ledger(NODES, timestep_fs=made.dynamics.timestep_fs)
    walker = Walker(
        "w",
        fine_tune(state or first_state(), made),
        store,  # type: ignore[arg-type]
        on_commit=ledger.observe,
        on_leave=said.append,
        enough=lambda: reason_to_leave(limits, ledger),
    )
    drive([walker], pools, inbox=pools)
    return store, ledger, said


def test_without_limits_a_run_goes_to_its_end() -> None:
    store, ledger, said = run(LimitsConfig(), Answers(uncertain=[3, 9]))
    assert store.state.phase.value == "done" and not said
    assert ledger.label_steps == [0, 3, 9] and ledger.time_ps == pytest.approx(0.02)


def test_node_hours_are_those_of_all_tasks() -> None:
    """Three labels on two nodes, two tasks of chains on a quarter of one, MD on one."""
    _, ledger, _ = run(LimitsConfig(), Answers(uncertain=[3, 9]))
    stretches = 2 + 2 + 8  # to 3 and 9, each cut short, then in fours to 40
    by_hand = 3 * (LABEL_S * 2.0 + 2 * UPDATE_S * 0.25)
    md = ledger.node_seconds - by_hand
    assert md == pytest.approx(MD_S * round(md / MD_S)) and stretches - 2 <= md / MD_S <= stretches


def test_a_spent_budget_of_labels_lets_md_go_on_until_one_more_is_wanted() -> None:
    store, ledger, said = run(LimitsConfig(labels=2), Answers(uncertain=[3, 9]))
    assert ledger.label_steps == [0, 3] and store.state.checkpoint.step == 8
    assert said == ["2 of 2 labels made, and one more is wanted"]
    assert store.state.phase.value == "label"


def test_node_hours_end_a_run() -> None:
    _, ledger, said = run(LimitsConfig(node_hours=2.0), Answers(uncertain=[3, 9]))
    assert "of 2 node hours used" in said[0]
    assert ledger.label_steps == [0, 3]
    assert 2.0 * 3600 <= ledger.node_seconds < 2.0 * 3600 + LABEL_S * 2.0


def test_wall_time_ends_a_run() -> None:
    _, ledger, said = run(LimitsConfig(wall_hours=1.0), Answers(uncertain=[3, 9]))
    assert "of 1 hours" in said[0] and 3600 <= ledger.wall_s < 3600 + LABEL_S


def test_a_quiet_run_ends() -> None:
    """Labels at steps 0, 3 and 9; 0.5 fs a step: quiet for 10 fs at step 29 and later."""
    limits = LimitsConfig(labels_per_ps=0.0, quiet_ps=0.010)
    store, _, said = run(limits, Answers(uncertain=[3, 9]))
    assert said == ["0 labels in the last 0.01 ps, at most 0 per ps"]
    assert 29 <= store.state.checkpoint.step < 34
    some = LimitsConfig(labels_per_ps=100.0, quiet_ps=0.010)  # one in 10 fs is quiet enough
    store, _, said = run(some, Answers(uncertain=[3, 9]))
    assert 23 <= store.state.checkpoint.step < 28 and "1 labels in the last" in said[0]


AUDIT_ERRORS = (0.2, -0.2, 0.2, 0.02, -0.02, 0.02, -0.02, 0.02, -0.02, 0.02)
"""Of the ten audits of `audited`, eV."""


class Missing(Answers):
    """A reference from which the prediction of each audit is off by its entry of AUDIT_ERRORS."""

    def label(self, request: LabelRequest) -> Label | Failure:
        found = super().label(request)
        number = int(request.directory.split("/")[-1])
        if number == 0:
            return found
        shift = model_energy(structure(0), 0) - reference_energy(structure(0))
        predicted = model_energy(request.structure, number)  # the ensemble knows as many labels
        return replace(found, energy=predicted - shift - AUDIT_ERRORS[number - 1])


def audited(limits: LimitsConfig) -> tuple[Store, Ledger, list[str]]:
    """Forty steps, every fourth audited, and none that is not trusted."""
    prior = Calibration(1.5, 10.0)
    begun = replace(first_state(), estimates=Estimates(prior, ()))
    return run(limits, Missing(), begun, audit_every_steps=4, threshold=3.0)


def bound_kcal(n: int, look: int) -> float:
    """By hand, with scipy's quantile."""
    quantile = stats.chi2.ppf(0.05 / (look * (look + 1)), df=n)
    return to_kcal_per_mol(float(np.sqrt(np.sum(np.square(AUDIT_ERRORS[:n])) / quantile)))


@pytest.mark.parametrize(("first", "left_at"), [(4, 6), (4, 10), (8, 8), (2, 9)])
def test_a_run_ends_once_its_audits_have_established_its_accuracy(first: int, left_at: int) -> None:
    """Left at the first audit whose bound is below what is wanted."""
    bounds = {n: bound_kcal(n, n - first + 1) for n in range(first, 11)}
    assert all(bounds[n] > bounds[left_at] for n in range(first, left_at))
    wanted = 1.0001 * bounds[left_at]
    store, ledger, said = audited(LimitsConfig(audit_error_kcal_per_mol=wanted, audits=first))
    assert said == [
        f"RMS error of {left_at} audits is below {bounds[left_at]:.3g} kcal/mol with 95 % "
        f"confidence, wanted {wanted:g}"
    ]
    assert ledger.audit_errors == pytest.approx(AUDIT_ERRORS[:left_at])
    state = store.state
    assert state.phase.value == "propagate" and state.ensemble is not None
    assert state.ensemble.version == len(ledger.label_steps)  # the last label has been learnt from


def test_an_accuracy_that_is_not_established_lets_a_run_go_to_its_end() -> None:
    bounds = [bound_kcal(n, n - 3) for n in range(4, 11)]
    limits = LimitsConfig(audit_error_kcal_per_mol=0.999 * min(bounds), audits=4)
    store, ledger, said = audited(limits)
    assert not said and store.state.phase.value == "done" and len(ledger.audit_errors) == 10


def test_requested_labels_say_nothing_of_the_frames_that_were_trusted() -> None:
    ledger = Ledger(NODES, 1.0)
    label = SimpleNamespace(seconds=1.0)
    rows = ((Reason.UNCERTAIN, 9.0), (Reason.AUDIT, 0.5), (Reason.GUARD, 7.0))
    for step, (reason, error) in enumerate(rows):
        event = Labelled("x", step, label, None, 0.0, error, first_state().calibration, reason)  # type: ignore[arg-type]
        ledger.observe(Commit(first_state(), (event,)))
    assert ledger.audit_errors == [0.5]


def ledgers_of_three() -> dict[str, Ledger]:
    """Three runs driven one after the other for an hour each, with two labels."""
    found = {}
    for number in range(3):
        ledger = Ledger(NODES, 0.5)
        ledger.label_steps = ledger.asked_steps = [0, 3]
        ledger.node_seconds = 3600.0
        ledger.spans = [(3600.0 * number, 3600.0)]
        found[str(number)] = ledger
    return found


@pytest.mark.parametrize(
    ("limits", "wants", "expected"),
    [
        (LimitsConfig(labels=7), True, ""),
        (LimitsConfig(labels=6), True, "campaign: 6 of 6 labels"),
        (LimitsConfig(labels=6), False, ""),
        (LimitsConfig(node_hours=3.0), False, "campaign: 3 of 3 node hours"),
        (LimitsConfig(node_hours=3.1), False, ""),
        (LimitsConfig(wall_hours=3.0), False, "campaign: driven for 3 of 3 hours"),
        (LimitsConfig(wall_hours=3.1), False, ""),
    ],
)
def test_a_campaign_counts_all_its_runs(limits: LimitsConfig, wants: bool, expected: str) -> None:
    ledgers = ledgers_of_three()
    budget = Budget(limits, ledgers)
    one = ledgers["0"]
    one.wants_label = wants
    budget.join("0", one)
    found = budget.reason_to_leave(one)
    assert found.startswith(expected) and bool(found) == bool(expected)


def test_a_material_counts_its_own_runs_and_then_the_campaign_all() -> None:
    ledgers = ledgers_of_three()

    def said(of_two: LimitsConfig, of_all: LimitsConfig) -> str:
        campaign = Budget(of_all, ledgers)
        two = {name: ledgers[name] for name in ("0", "1")}
        material = Budget(of_two, two, whose="material A", within=campaign)
        material.join("0", ledgers["0"])
        ledgers["0"].wants_label = True
        return material.reason_to_leave(ledgers["0"])

    assert said(LimitsConfig(labels=4), LimitsConfig(labels=6)).startswith("material A: 4 of 4")
    assert said(LimitsConfig(labels=5), LimitsConfig(labels=6)).startswith("campaign: 6 of 6")
    assert said(LimitsConfig(labels=5), LimitsConfig(labels=7)) == ""


def test_a_run_that_joins_a_material_has_joined_the_campaign() -> None:
    campaign = Budget(LimitsConfig(wall_hours=0.5), {})
    material = Budget(LimitsConfig(), {}, whose="material A", within=campaign)
    ledger = Ledger(NODES, 0.5)
    material.join("new", ledger)
    ledger.observe(Commit(first_state(), (Spent("md", 0.0, 1800.0),)))
    assert material.reason_to_leave(ledger).startswith("campaign: driven for 0.5")


def test_a_run_that_is_driven_tells_the_clock_of_the_campaign() -> None:
    budget = Budget(LimitsConfig(wall_hours=3.5), ledgers_of_three())
    ledger = Ledger(NODES, 0.5)
    budget.join("new", ledger)
    ledger.observe(Commit(first_state(), (Spent("md", 10000.0, 1700.0),)))
    assert budget.reason_to_leave(ledger) == ""  # 800 s of it were covered
    ledger.observe(Commit(first_state(), (Spent("md", 11700.0, 900.0),)))
    assert "driven for 3.5" in budget.reason_to_leave(ledger)


def test_wall_time_counts_overlapping_spans_once_and_no_time_between_sessions() -> None:
    ledger = Ledger(NODES, 0.5)
    spans = [(0.0, 10.0), (2.0, 5.0), (8.0, 4.0), (100.0, 1.0)]
    events = tuple(Spent("md", start, length) for start, length in spans)
    ledger.observe(Commit(first_state(), events))
    assert ledger.wall_s == pytest.approx(12.0 + 1.0)


def test_a_run_that_is_done_is_not_left() -> None:
    """The last stretch reaches the limit too: the run has come to its end."""
    _, ledger, _ = run(LimitsConfig(), Answers(uncertain=[3, 9]))
    hours = ledger.node_seconds / 3600.0
    store, _, said = run(LimitsConfig(node_hours=hours), Answers(uncertain=[3, 9]))
    assert store.state.phase.value == "done" and not said


def test_an_error_after_the_last_commit_is_not_hidden_by_a_limit() -> None:
    """The first label fails: the loop commits that, and ends with an error."""
    with pytest.raises(TaskError, match="first frame has no label"):
        run(LimitsConfig(wall_hours=1e-9), Answers(bad_labels=["0000"]))


def test_audits_do_not_keep_a_run_from_being_quiet() -> None:
    ledger = Ledger(NODES, 1.0)
    for step, reason in ((0, Reason.FIRST_FRAME), (5000, Reason.AUDIT), (9000, Reason.GUARD)):
        label = SimpleNamespace(seconds=1.0)
        event = Labelled("x", step, label, None, 0.0, 0.1, first_state().calibration, reason)  # type: ignore[arg-type]
        ledger.observe(Commit(first_state(), (event,)))
    assert ledger.label_steps == [0, 5000, 9000] and ledger.labels_since(1.0) == 0


def test_a_rate_without_a_time_is_refused() -> None:
    from bnnflow.config import parse_config

    values = {
        "material": {"structure": "H2O"},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "dynamics": {"temperature_K": 300, "length_ps": 0.1},
        "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
    }
    plain = parse_config(values)
    limited = parse_config({**values, "limits": {"labels": 3}})
    assert "limits" not in plain.to_yaml() and "labels: 3" in limited.to_yaml()
    assert plain.digest() == limited.digest()
    with pytest.raises(ConfigError, match="quiet_ps"):
        parse_config({**values, "limits": {"labels_per_ps": 1.0}})
    with pytest.raises(ConfigError, match="has audits alone, expected audit_error_kcal_per_mol"):
        parse_config({**values, "limits": {"audits": 10}})


def test_a_rule_about_audits_that_are_never_made_is_refused() -> None:
    from bnnflow.config import parse_config, with_limits
    from bnnflow.config.campaign_loading import parse_campaign

    values = {
        "material": {"structure": "H2O"},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "dynamics": {"temperature_K": 300, "length_ps": 0.1},
        "reference": {"engine": "tblite", "options": {"method": "GFN1-xTB"}},
    }
    rule = {"audit_error_kcal_per_mol": 1.0, "audits": 10}
    missing = "no audits, expected calibration.audit_every_steps"
    with pytest.raises(ConfigError, match=missing) as caught:
        parse_config({**values, "limits": rule})
    assert "\n" not in str(caught.value)
    audited = parse_config({**values, "limits": rule, "calibration": {"audit_every_steps": 5}})
    assert audited.limits.audits == 10
    given = [f"limits.{key}={value}" for key, value in rule.items()]
    with pytest.raises(ConfigError, match=missing):
        with_limits(parse_config(values), given)
    campaign = {**values, "name": "c", "materials": [{"structure": "H2O"}], "budget": rule}
    del campaign["material"]
    with pytest.raises(ConfigError, match=r"budget\.audits"):
        parse_campaign(campaign)
