"""Draws of the prior as an ensemble: what is thought before any data."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bnnflow.potentials import load_potential
from bnnflow.potentials.ensemble import Ensemble
from bnnflow.records import Label, SampleRequest
from bnnflow.training.moved import stream
from bnnflow.training.sample import posterior_of


def prior_ensemble(request: SampleRequest, labels: Sequence[Label], *, n_draws: int) -> Ensemble:
    """So many independent draws of the prior of the chains of a request.

    labels: one is enough, for the elements that there are and, with `rto`, the prior's shape. The
    stream is of its own: no chain starts from one of these.
    """
    potential = load_potential(request.potential)
    posterior = posterior_of(request, potential, list(labels))
    prior = posterior.prior
    drawn = torch.randn(n_draws, len(prior.mean), generator=stream(request.seed, "prior draws"))
    members = posterior.base.repeat(n_draws, 1)
    members[:, posterior.active] = prior.mean + prior.std * drawn.to(prior.mean)
    return Ensemble.of(potential, members)
