"""Training on fixed sets of labelled frames, and the frames of the shipped foundation model."""

from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.training.prior_scale import SuggestedPrior, suggest_prior_std
from bnnflow.training.sample import sample

__all__ = ["LabelledSet", "Posterior", "SuggestedPrior", "sample", "suggest_prior_std"]
