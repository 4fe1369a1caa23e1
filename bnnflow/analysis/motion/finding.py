"""What an analysis found: figures for programs (JSON-able), and rows of a table for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnflow.analysis.motion.averages import Estimate
from bnnflow.records import IntArray

PS = 1000.0
"""1 ps in fs."""
MOST_POINTS = 400
"""Points of a curve that are kept in figures."""


@dataclass(frozen=True)
class Row:
    """A number of the table with its error (NaN: none is known), unit and what else to say."""

    name: str
    value: float
    error: float = float("nan")
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What one analysis found. kind, of: such as "bonds" of "Mn-O"; figures: JSON-able."""

    kind: str
    of: str
    figures: dict[str, Any]
    rows: tuple[Row, ...]


def kept(count: int, most: int = MOST_POINTS) -> IntArray:
    """Rows of a curve of `count` points that are kept, first and last among them."""
    rows = np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64)
    return np.unique(rows)


def figure(estimate: Estimate, index: int | None = None, *, scale: float = 1.0) -> dict[str, Any]:
    """Value and error of an estimate, or of one of its entries, times `scale`."""
    parts = (scale * estimate.value, scale * estimate.error)
    value, error = parts if index is None else (part[index] for part in parts)
    return {"value": value.tolist(), "error": error.tolist()}


def text(value: float, error: float = float("nan"), digits: int = 4) -> str:
    """A number with its error, both to the error's second digit; alone to `digits` digits."""
    if not (np.isfinite(value) and np.isfinite(error) and error > 0.0):
        return f"{value:.{digits}g}" if np.isfinite(value) else "none"
    places = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{places}f} ± {error:.{places}f}"


def json_able(value: Any) -> Any:
    """The same mappings and lists with None for numbers that are not finite: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: json_able(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_able(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
