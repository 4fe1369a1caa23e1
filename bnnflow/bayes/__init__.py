"""Bayesian posterior sampling in pure torch.

`rto` and `hmc` condition samples on new data and correct them; `chain` runs SGHMC as published,
`rensmeyer2026` what the published code does differently.
"""

from bnnflow.bayes.chain import ChainReport, run_chains
from bnnflow.bayes.hmc import HmcReport, run_hmc
from bnnflow.bayes.joint import JointDraws, stratified
from bnnflow.bayes.keep import Keep, KeepNothing, generator_states, set_generator_states
from bnnflow.bayes.likelihood import energy_nll, force_nll, stress_nll
from bnnflow.bayes.lowrank import LowRankMetric, gram
from bnnflow.bayes.minibatch import Minibatch, MinibatchSampler
from bnnflow.bayes.noise_scale import draw_log_scale
from bnnflow.bayes.prior import GaussianPrior
from bnnflow.bayes.rensmeyer2026 import BiasedMinibatchSampler, ramp_of_std
from bnnflow.bayes.rto import Conditioned, LeastSquares, condition, implied, require_finite
from bnnflow.bayes.schedules import sghmc_schedule

__all__ = [
    "BiasedMinibatchSampler",
    "ChainReport",
    "Conditioned",
    "GaussianPrior",
    "HmcReport",
    "JointDraws",
    "Keep",
    "KeepNothing",
    "LeastSquares",
    "LowRankMetric",
    "Minibatch",
    "MinibatchSampler",
    "condition",
    "draw_log_scale",
    "energy_nll",
    "force_nll",
    "generator_states",
    "gram",
    "implied",
    "ramp_of_std",
    "require_finite",
    "run_chains",
    "run_hmc",
    "set_generator_states",
    "sghmc_schedule",
    "stratified",
    "stress_nll",
]
