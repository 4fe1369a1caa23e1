"""One value kept for as long as the tensor it was computed from stays the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Remembers the last value; a changed tensor (also in place) or key computes it anew."""

    def __init__(self) -> None:
        self._source: weakref.ref[Tensor] | None = None
        self._key: Hashable = None
        self._value: Value | None = None

    def get(self, source: Tensor, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value for this tensor and key. A tensor with a gradient is never kept."""
        if source.requires_grad:
            return compute()
        full = (source._version, key)
        if self._value is None or self._source is None or self._source() is not source:
            self._key = None
        if self._value is None or self._key != full:
            self._source, self._key, self._value = weakref.ref(source), full, compute()
        return self._value
