"""Which dynamics take a step: Langevin while a run equilibrates, then those it asks for."""

from __future__ import annotations

from dataclasses import replace

from bnnflow.records import Dynamics


def stage_at(dynamics: Dynamics, step: int) -> Dynamics:
    """The dynamics of the step that begins after `step` steps, as ones without stages."""
    plain = replace(dynamics, equilibration_fs=None)
    if dynamics.equilibration_fs is None:
        return plain
    equilibrating = step < round(dynamics.equilibration_fs / dynamics.timestep_fs)
    return replace(plain, kind="langevin") if equilibrating else plain
