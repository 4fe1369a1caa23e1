"""Calibration priors pooled over the materials of a campaign (`bnnflow.uncertainty.pooling`).

A material's prior is learnt from the other materials' errors and never from its own, which enter
its calibration anyway. It is renewed whenever one of its labels is taken in, and committed with it,
so that a resumed run decides by the same numbers.
"""

from __future__ import annotations

from dataclasses import replace

from bnnflow.records import Calibration
from bnnflow.uncertainty import pooled_prior


class CalibrationPool:
    """What each material's errors say; lives in the coordinator.

    shape, scale: of the prior where no other material has an error yet.
    """

    def __init__(self, *, shape: float, scale: float) -> None:
        self._shape = shape
        self._scale = scale
        self._known: dict[str, Calibration] = {}

    def put(self, material: str, calibration: Calibration) -> None:
        """What is known of a material now."""
        self._known[material] = calibration

    def prior_for(self, material: str, calibration: Calibration) -> Calibration:
        """A material's calibration with the prior that the others give it."""
        others = [known for name, known in self._known.items() if name != material]
        shape, scale = pooled_prior(others, shape=self._shape, scale=self._scale)
        return replace(calibration, shape=shape, scale=scale)
