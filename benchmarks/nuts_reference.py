"""The posterior of the `network` problem by long NUTS chains of NumPyro: `known_posteriors.json`.

    pip install numpyro==0.19.0   # in an environment of its own: it brings JAX
    python benchmarks/nuts_reference.py

Makes the data as well: a network drawn from the prior around another one, 20 noisy labels in two
clumps. Ends with an error when R-hat or the effective sample sizes do not allow the table to rely
on it. Needs neither torch nor bnnflow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import distributions as dist
from numpyro.diagnostics import effective_sample_size, gelman_rubin
from numpyro.infer import MCMC, NUTS

OUTPUT = Path(__file__).with_name("known_posteriors.json")
HIDDEN = 10
PRIOR_STD, NOISE = 0.5, 0.1
CHAINS, WARM_UP, SAMPLES = 8, 2000, 20_000
TAIL = np.array([0.0, 1e-4, 3e-4, 1e-3, 3e-3])
LEVELS = np.concatenate([TAIL, np.linspace(0.01, 0.99, 99), 1.0 - TAIL[::-1]])
LARGEST_R_HAT, SMALLEST_ESS = 1.01, 2000.0


def network_output(theta: jax.Array, inputs: jax.Array) -> jax.Array:
    """As `known_posteriors.network_output`."""
    slopes, shifts, heights = theta[:-1].reshape(3, HIDDEN)
    return 2.0 / HIDDEN**0.5 * jnp.tanh(inputs[:, None] * slopes + shifts) @ heights + theta[-1]


def main() -> int:
    """Sample, check, write."""
    numpyro.enable_x64()
    numpyro.set_host_device_count(1)
    rng = np.random.default_rng(2)
    prior_mean = rng.normal(size=3 * HIDDEN + 1)
    truth = prior_mean + PRIOR_STD * rng.normal(size=prior_mean.shape)
    inputs = np.concatenate([np.linspace(-2.0, -0.7, 10), np.linspace(0.5, 2.0, 10)])
    labels = network_output(truth, inputs) + NOISE * rng.normal(size=inputs.shape)
    grid = np.linspace(-3.0, 3.0, 25)

    def model() -> None:
        with numpyro.plate("parameters", len(prior_mean)):
            theta = numpyro.sample("theta", dist.Normal(jnp.array(prior_mean), PRIOR_STD))
        numpyro.deterministic("predictions", network_output(theta, grid))
        numpyro.sample("labels", dist.Normal(network_output(theta, inputs), NOISE), obs=labels)

    mcmc = MCMC(
        NUTS(model, target_accept_prob=0.9),
        num_warmup=WARM_UP,
        num_samples=SAMPLES,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0))
    predictions = np.asarray(mcmc.get_samples(group_by_chain=True)["predictions"])
    r_hat = float(np.max(gelman_rubin(predictions)))
    sizes = effective_sample_size(predictions)
    print(f"R-hat of predictions at most {r_hat:.4f}, effective samples at least {min(sizes):.0f}")
    if not (r_hat < LARGEST_R_HAT and min(sizes) > SMALLEST_ESS):
        print("not good enough for a reference: sample longer", file=sys.stderr)
        return 1
    flat = predictions.reshape(-1, len(grid))
    arrays = {
        "prior_mean": prior_mean,
        "inputs": inputs,
        "labels": np.asarray(labels),
        "grid": grid,
        "mean": flat.mean(0),
        "variance": flat.var(0),
        "levels": LEVELS,
        "quantiles": np.quantile(flat, LEVELS, axis=0).T,
    }
    stored = {name: np.round(value, 6).tolist() for name, value in arrays.items()}
    stored |= {"noise": NOISE, "prior_std": PRIOR_STD, "r_hat": round(r_hat, 5)}
    stored |= {"effective_samples": round(float(min(sizes)))}
    OUTPUT.write_text(json.dumps(stored) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
