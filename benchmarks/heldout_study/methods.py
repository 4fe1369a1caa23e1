"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from heldout_study.deep_ensemble import DeepEnsemble
from heldout_study.laplace import LastLayerLaplace
from heldout_study.method import Method
from heldout_study.sampled import PRESETS, SAMPLED, Sampled
from heldout_study.setting import Setting
from heldout_study.variational import Variational

BASELINES: Mapping[str, Callable[[Setting], Method]] = {
    "deep_ensemble": DeepEnsemble,
    "last_layer_laplace": LastLayerLaplace,
    "variational": Variational,
}
NAMES = (*SAMPLED, *BASELINES)


def build(name: str, setting: Setting) -> Method:
    """The method of this name, one of `NAMES`."""
    if name in SAMPLED:
        return Sampled(setting, SAMPLED[name], PRESETS.get(name))
    return BASELINES[name](setting)
