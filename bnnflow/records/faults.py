"""Faults of published code that a run reproduces, so that its figures compare like for like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Where a run leaves bnnflow's own rules for published ones (rows of DECISIONS); default:
    nowhere.

    uncalibrated_labels: how many labels, from the first on, teach the calibration nothing (4);
    ramp_of_std: the noise's ramp scales its std, not its variance (5); absent_elements: their
    weights are sampled too (6); biased_minibatch: weights of frames that do not fit how often they
    are drawn (7); float32_energies: reference energies and their shift in single precision (12);
    off_diagonal_count: times that an off-diagonal stress enters the likelihood (13).
    """

    uncalibrated_labels: int = 1
    ramp_of_std: bool = False
    absent_elements: bool = False
    biased_minibatch: bool = False
    float32_energies: bool = False
    off_diagonal_count: int = 1

    @classmethod
    def of(cls, compat: str | None) -> Faults:
        """Those that a value of the config's `compat` brings; none without one."""
        return _PRESETS[compat] if compat else cls()


_PRESETS: Mapping[str, Faults] = {
    "rensmeyer2026": Faults(
        uncalibrated_labels=2,
        ramp_of_std=True,
        absent_elements=True,
        biased_minibatch=True,
        float32_energies=True,
        off_diagonal_count=2,
    ),
}
