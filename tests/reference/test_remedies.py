"""When the self-consistent field does not converge: other ways to the same solution, recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label
from bnnflow.reference.base import Remedy
from bnnflow.reference.engine_tblite import TBLiteReference

Ask = Callable[..., LabelRequest]

FEW = {
    "pyscf": {"engine": "pyscf", "method": "HF", "basis": "sto-3g", "conv_tol": 1e-10},
    "tblite": {"engine": "tblite", "accuracy": 0.01, "isolated": True},
}
LIMITS = {"pyscf": ("max_cycle", 4), "tblite": ("max_iterations", 5)}


@pytest.mark.proves("remedies", code="pyscf")
@pytest.mark.proves("remedies", code="tblite")
@pytest.mark.parametrize("engine", FEW)
def test_a_remedy_finds_the_same_solution(engine: str, water: Structure, ask: Ask) -> None:
    """Too few iterations fail; the remedy's label is the one that enough iterations give."""
    key, few = LIMITS[engine]
    enough = label(ask(water, folder="enough", **FEW[engine]))
    short = label(ask(water, folder="short", **FEW[engine], **{key: few}))
    assert isinstance(enough, Label)
    assert isinstance(short, Label)
    assert "remedies" not in enough.details
    assert len(short.details["remedies"]) >= 1
    assert short.level == enough.level
    assert short.energy == pytest.approx(enough.energy, abs=1e-6)
    np.testing.assert_allclose(short.forces, enough.forces, atol=2e-4)
    attempts = sorted(path.name for path in Path(short.directory).glob("attempt-*"))
    assert len(attempts) == 1 + len(short.details["remedies"])


def test_remedies_that_do_not_help_are_named(water: Structure, ask: Ask) -> None:
    failure = label(ask(water, engine="tblite", max_iterations=1))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.NOT_CONVERGED
    assert "tried too: mixer damping 0.1 and 4 iterations" in failure.message
    assert failure.directory.endswith("attempt-02")


@pytest.mark.parametrize("engine", FEW)
def test_remedies_keep_the_level(engine: str) -> None:
    reference = build_reference(FEW[engine])
    remedies = reference.remedies()
    assert remedies
    assert all(remedy.reference.level == reference.level for remedy in remedies)
    assert len({remedy.name for remedy in remedies}) == len(remedies)


def test_a_remedy_of_another_level_is_refused(
    water: Structure, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cheat(self: TBLiteReference) -> tuple[Remedy, ...]:
        return (Remedy("another method", replace(self, method="GFN1-xTB")),)

    monkeypatch.setattr(TBLiteReference, "remedies", cheat)
    outcome = label(ask(water, engine="tblite", max_iterations=1))
    assert isinstance(outcome, Failure)
    assert outcome.cause is FailureCause.BAD_INPUT
    assert "GFN1-xTB" in outcome.message


def test_a_crash_is_not_tried_otherwise(bad: str, water: Structure, ask: Ask) -> None:
    outcome = label(ask(water, engine="ase", calculator=f"{bad}.Exits"))
    assert isinstance(outcome, Failure)
    assert len(list((Path(outcome.directory).parent).glob("attempt-*"))) == 1
