"""Rank-normalised split R-hat and bulk effective sample size of several chains.

Source: Vehtari, Gelman, Simpson, Carpenter, Buerkner, Bayesian Analysis 16, 667 (2021); equation
numbers are theirs. Draws are (m chains, n draws, Q quantities), results (Q,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]


def r_hat(draws: Array) -> Array:
    """The larger of R-hat of ranks and of folded ranks: chains that differ in place or in width."""
    folded = np.abs(draws - np.median(draws, axis=(0, 1)))
    return np.maximum(*(scale_reduction(_normal_scores(_split(x))) for x in (draws, folded)))


def bulk_size(draws: Array) -> Array:
    """Effective sample size of the mean of the ranks, of all chains together (10 to 13)."""
    scores = _normal_scores(_split(draws))
    chains, n, quantities = scores.shape
    correlation = _autocorrelation(scores)
    pairs = correlation[: n - n % 2].reshape(n // 2, 2, quantities).sum(1)
    # Geyer: sums of neighbours are positive and fall; what is left after the first that is not,
    # is noise.
    positive = np.cumprod(pairs > 0.0, axis=0, dtype=float)
    pairs = np.minimum.accumulate(pairs, axis=0) * positive
    time = 2.0 * pairs.sum(0) - 1.0
    total = chains * n
    size: Array = total / np.maximum(time, 1.0 / np.log10(total))
    return size


def scale_reduction(draws: Array) -> Array:
    """sqrt(var+ / W), (1) to (4): 1 when chains agree."""
    reduction: Array = np.sqrt(_total_variance(draws) / draws.var(1, ddof=1).mean(0))
    return reduction


def _total_variance(draws: Array) -> Array:
    """var+, (3): (n - 1) / n of the variance within chains and all of the one between."""
    n = draws.shape[1]
    variance: Array = (n - 1) / n * draws.var(1, ddof=1).mean(0) + draws.mean(1).var(0, ddof=1)
    return variance


def _autocorrelation(draws: Array) -> Array:
    """rho_t (n, Q), (10): lags 0 to n - 1 over all chains."""
    n = draws.shape[1]
    offset = draws - draws.mean(1, keepdims=True)
    lags = [(offset[:, : n - t] * offset[:, t:]).sum(1) / n for t in range(n)]
    within = draws.var(1, ddof=1).mean(0)
    correlation: Array = 1.0 - (within - np.stack(lags).mean(1)) / _total_variance(draws)
    correlation[0] = 1.0
    return correlation


def _split(draws: Array) -> Array:
    """Chains in two halves (2 m, n // 2, Q), so that a drift shows as well."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: Array) -> Array:
    """Normal scores of the ranks over all chains, (14); equal draws share a rank."""
    ranks = rankdata(draws.reshape(-1, draws.shape[-1]), axis=0)
    scores: Array = ndtri((ranks - 0.375) / (len(ranks) + 0.25)).reshape(draws.shape)
    return scores
