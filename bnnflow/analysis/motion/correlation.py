"""Averages over all time origins by fast Fourier transforms, exact to rounding."""

from __future__ import annotations

import numpy as np
from scipy import fft

from bnnflow.records import FloatArray


def autocorrelation(series: FloatArray) -> FloatArray:
    """Mean over the m - lag time origins of x(t) x(t + lag), for every lag: (m, ...) -> (m, ...).

    The series is padded with as many zeros, so that nothing wraps round.
    """
    m = len(series)
    size = fft.next_fast_len(2 * m, real=True)
    spectrum = fft.rfft(series, size, axis=0)
    sums = fft.irfft(spectrum * spectrum.conj(), size, axis=0)[:m]
    origins = m - np.arange(m)
    return np.asarray(sums / origins.reshape(-1, *[1] * (series.ndim - 1)))


def circular_sums(weights: FloatArray, series: FloatArray) -> FloatArray:
    """sum_t weights(t) series(t + shift), indices modulo m, for every shift: two (m,) -> (m,)."""
    m = len(weights)
    return np.asarray(fft.irfft(fft.rfft(weights).conj() * fft.rfft(series), m))
