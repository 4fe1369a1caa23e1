"""What a method of the study does: it turns labels into an ensemble on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from bnnflow.potentials.ensemble import member_path, save_member
from bnnflow.records import EnsembleRef, Label


@dataclass(frozen=True)
class Step:
    """Where an update starts and ends.

    energy_shift: eV, added to every reference energy; previous: None for the foundation model.
    """

    energy_shift: float
    previous: EnsembleRef | None
    target: EnsembleRef


@dataclass(frozen=True)
class Fit:
    """What an update cost, and what it says of itself.

    gradients: per-frame gradients spent, over the number of members; report: plain values.
    """

    gradients: float
    report: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """One way to an ensemble.

    sequential: whether an update starts from the ensemble before it (otherwise `previous` is not
    looked at, and any number of labels can be asked for by itself).
    """

    @property
    def sequential(self) -> bool: ...

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """Write the members of `step.target` from all labels so far, oldest first."""
        ...


def save_ensemble(target: EnsembleRef, *, active: Tensor, members: Tensor) -> None:
    """Write members (k, n_active) as bnnflow keeps them; active: (P,) bool."""
    Path(target.directory).mkdir(parents=True, exist_ok=True)
    for chain, values in enumerate(members):
        save_member(member_path(target.directory, chain), active=active, values=values)
