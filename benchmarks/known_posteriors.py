"""Regression problems whose posterior is known, to try samplers on.

- `gaussian`: 60 parameters, precision eigenvalues from 1 to 1e4.
- `linear`: linear regression, 20 labels, 60 parameters, noise 0.1 of a unit prior.
- `curved`: ten pairs a + b^2 seen through noise 0.1: bananas; truth by quadrature.
- `network`: a network of 31 parameters with 20 labels; truth by long NUTS chains of NumPyro
  (`known_posteriors.json`, made by `nuts_reference.py`).

Each compares functions of the parameters, so that symmetries of a network do not matter: means and
variances of `probe`, in groups.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from true_marginals import (
    GRID,
    Distribution,
    banana_draws,
    banana_marginals,
    normal_distribution,
    tabled_distribution,
    weights_distribution,
)

from bnnflow.bayes import Minibatch

NUTS = Path(__file__).with_name("known_posteriors.json")
HIDDEN = 10
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class KnownPosterior:
    """labels (N, m) = predict(theta) + noise z, theta ~ N(prior_mean, prior_std^2 I).

    predict: theta (P,) to (N, m); probe: theta (P,) to (Q,); mean, variance: true ones of the
    probes (Q,); distribution: their true distribution functions; groups: name to the probes that
    are summarised together.
    """

    name: str
    predict: Function
    labels: Tensor
    noise: float
    prior_mean: Tensor
    prior_std: float
    probe: Function
    mean: Tensor
    variance: Tensor
    distribution: Distribution
    groups: Mapping[str, slice]

    @property
    def n_frames(self) -> int:
        """N."""
        return len(self.labels)

    def theta(self, phi: Tensor) -> Tensor:
        """Parameters (k, P) of whitened ones."""
        return self.prior_mean + self.prior_std * phi

    def probes(self, phi: Tensor) -> Tensor:
        """(k, Q) of whitened parameters (k, P)."""
        return torch.func.vmap(self.probe)(self.theta(phi))

    def residual(self, phi: Tensor) -> Tensor:
        """Whitened residuals (k, N m)."""
        return torch.func.vmap(self._residual)(phi)

    def jacobian(self, phi: Tensor) -> Tensor:
        """(k, N m, P)."""
        jacobian: Tensor = torch.func.vmap(torch.func.jacrev(self._residual))(phi)
        return jacobian

    def misfit(self, phi: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals, and the gradient of half their squared distance to a target."""

        def half_square(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            residual = self._residual(x)
            return 0.5 * (residual - t).square().sum(), residual

        slope, residual = torch.func.vmap(torch.func.grad(half_square, has_aux=True))(phi, target)
        return residual, slope

    def density(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """U = (|phi|^2 + |r|^2) / 2 and its gradient."""
        residual, slope = self.misfit(phi, torch.zeros(len(phi), self.labels.numel()))
        energy = 0.5 * (phi.square().sum(-1) + residual.square().sum(-1))
        return energy, phi + slope

    def gradient(self, theta: Tensor, minibatch: Minibatch) -> Tensor:
        """(k, P) gradient of the negative log posterior over N, from weighted minibatches."""

        def loss(t: Tensor, index: Tensor, weight: Tensor) -> Tensor:
            frames = (self.predict(t) - self.labels).square().sum(-1) / self.noise**2
            return 0.5 * (weight * frames[index]).sum()

        slope = torch.func.vmap(torch.func.grad(loss))(theta, minibatch.index, minibatch.weight)
        return (slope + (theta - self.prior_mean) / self.prior_std**2) / self.n_frames

    def _residual(self, phi: Tensor) -> Tensor:
        predicted = self.predict(self.prior_mean + self.prior_std * phi)
        return ((predicted - self.labels) / self.noise).flatten()


def known_posteriors() -> list[KnownPosterior]:
    """All of them, in float64."""
    return [gaussian(), linear(), curved(), network()]


def gaussian(dimension: int = 60) -> KnownPosterior:
    """Posterior precision with eigenvalues 1 to 1e4, in a random basis; 20 frames of 3 labels."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(_normal(dimension, dimension, generator=generator))[0]
    scale = (torch.logspace(0, 4, dimension, dtype=torch.float64) - 1.0).clamp(min=0.0).sqrt()
    labels = 3.0 * _normal(dimension, generator=generator)
    return _linear("gaussian", basis * scale @ basis.T, labels.reshape(20, -1), noise=1.0)


def linear(n_frames: int = 20, dimension: int = 60) -> KnownPosterior:
    """Linear regression with fewer labels than parameters and a sharp likelihood."""
    generator = torch.Generator().manual_seed(2)
    inputs = _normal(n_frames, dimension, generator=generator)
    truth = _normal(dimension, generator=generator)
    labels = inputs @ truth + 0.1 * _normal(n_frames, generator=generator)
    return _linear("linear", inputs, labels.unsqueeze(-1), noise=0.1)


def curved(pairs: int = 10) -> KnownPosterior:
    """Labels of a + b^2, each twice: posteriors bent along a parabola."""
    generator = torch.Generator().manual_seed(3)
    labels = 0.5 * _normal(pairs, generator=generator).repeat(2)
    each = [banana_marginals(float(label), noise=0.1) for label in labels[:pairs]]
    weights = torch.stack(each, dim=1).flatten(0, 1)  # a of all pairs, then b
    mean = weights @ GRID
    return KnownPosterior(
        name="curved",
        predict=lambda t: (t[:pairs] + t[pairs:].square()).repeat(2).unsqueeze(-1),
        labels=labels.unsqueeze(-1),
        noise=0.1 * 2**0.5,
        prior_mean=torch.zeros(2 * pairs, dtype=torch.float64),
        prior_std=1.0,
        probe=lambda t: t,
        mean=mean,
        variance=weights @ GRID.square() - mean.square(),
        distribution=weights_distribution(weights),
        groups={"a": slice(0, pairs), "b": slice(pairs, 2 * pairs)},
    )


def curved_draws(problem: KnownPosterior, count: int) -> Tensor:
    """(count, P) exact draws of the posterior of `curved`."""
    generator = torch.Generator().manual_seed(5)
    labels = problem.labels[: len(problem.prior_mean) // 2].flatten().tolist()
    each = [banana_draws(label, 0.1, generator, count) for label in labels]
    return torch.stack(each, dim=-1).flatten(1)


def network() -> KnownPosterior:
    """One hidden layer of tanh; probes are predictions from -3 to 3, labels lie in two clumps."""
    stored = json.loads(NUTS.read_text())
    data = {key: torch.tensor(value, dtype=torch.float64) for key, value in stored.items()}
    grid = data["grid"]
    return KnownPosterior(
        name="network",
        predict=lambda t: network_output(t, data["inputs"]).unsqueeze(-1),
        labels=data["labels"].unsqueeze(-1),
        noise=float(data["noise"]),
        prior_mean=data["prior_mean"],
        prior_std=float(data["prior_std"]),
        probe=lambda t: network_output(t, grid),
        mean=data["mean"],
        variance=data["variance"],
        distribution=tabled_distribution(
            data["quantiles"], data["levels"].expand_as(data["quantiles"])
        ),
        groups={
            "at data": slice(4, 10),
            "between": slice(10, 15),
            "beyond": slice(20, len(grid)),
        },
    )


def network_output(theta: Tensor, inputs: Tensor) -> Tensor:
    """f(x) = 2 / sqrt(H) sum_h v_h tanh(w_h x + b_h) + c, theta = (w, b, v, c)."""
    slopes, shifts, heights = theta[:-1].reshape(3, HIDDEN)
    hidden = torch.tanh(inputs.unsqueeze(-1) * slopes + shifts)
    return 2.0 / HIDDEN**0.5 * (hidden @ heights) + theta[-1]


def _linear(name: str, inputs: Tensor, labels: Tensor, *, noise: float) -> KnownPosterior:
    """Labels (N, m) of inputs @ theta; probes: eigenvectors, then new inputs."""
    dimension = inputs.shape[1]
    precision = torch.eye(dimension, dtype=torch.float64) + inputs.T @ inputs / noise**2
    vectors = torch.linalg.eigh(precision)[1].flip(-1)  # stiff first
    new = _normal(20, dimension, generator=torch.Generator().manual_seed(4))
    probe = torch.cat([vectors.T, new])
    covariance = torch.linalg.inv(precision)
    mean = probe @ covariance @ (inputs.T @ labels.flatten()) / noise**2
    variance = (probe @ covariance * probe).sum(-1)
    third = dimension // 3
    return KnownPosterior(
        name=name,
        predict=lambda t: (inputs @ t).reshape(labels.shape),
        labels=labels,
        noise=noise,
        prior_mean=torch.zeros(dimension, dtype=torch.float64),
        prior_std=1.0,
        probe=lambda t: probe @ t,
        mean=mean,
        variance=variance,
        distribution=normal_distribution(mean, variance),
        groups={
            "stiff": slice(0, third),
            "middle": slice(third, 2 * third),
            "soft": slice(2 * third, dimension),
            "predictions": slice(dimension, dimension + len(new)),
        },
    )


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
