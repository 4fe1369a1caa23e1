"""Bayesian posterior sampling in pure torch: prior, likelihood, minibatches, SGHMC, chains."""

from bnnflow.bayes.chain import ChainReport, run_chains
from bnnflow.bayes.likelihood import energy_nll, force_nll, stress_nll
from bnnflow.bayes.minibatch import Minibatch, MinibatchSampler
from bnnflow.bayes.prior import GaussianPrior
from bnnflow.bayes.schedules import cosine_step_sizes, noise_temperatures

__all__ = [
    "ChainReport",
    "GaussianPrior",
    "Minibatch",
    "MinibatchSampler",
    "cosine_step_sizes",
    "energy_nll",
    "force_nll",
    "noise_temperatures",
    "run_chains",
    "stress_nll",
]
