"""Half-done work of one update task, in files beside the members that it is to become.

A task whose block ends (walltime, a lost node) is run again from its request; it then goes on from
these files. They belong to one request: other chains, labels or seeds, another split over tasks,
and they are not looked at. They are written only when the last ones are EVERY_S old, so that short
updates leave none, and removed when the task has done its work.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bnnflow.codec import publish
from bnnflow.records import SampleRequest

EVERY_S = 60.0
"""Work that an interruption may cost."""
LARGEST = 2**31
"""Bytes of a state that is not worth its writing: it is worked out again."""


class Waypoints:
    """The files of one task."""

    def __init__(self, request: SampleRequest) -> None:
        self._folder = Path(request.directory)
        first = request.chains[0] if request.chains else 0
        same = hashlib.sha256(repr(replace(request, directory="")).encode()).hexdigest()[:16]
        self._prefix = f"part-{first:02d}-{same}-"
        self._written = time.monotonic()

    def at(self, name: str) -> Waypoint:
        """The state of one stage of the work."""
        return Waypoint(self, name)

    def load(self, name: str) -> Mapping[str, Any] | None:
        """What was kept under a name; None when there is none, or it cannot be read."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            state: Mapping[str, Any] = torch.load(path, weights_only=True)
        except Exception:  # whatever is wrong with it, the work can be done again
            return None
        return state

    def offer(self, name: str, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep a state if the last one is old enough."""
        if time.monotonic() - self._written < EVERY_S:
            return
        made = state()
        if _size(made) <= LARGEST:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f".{self._prefix}{name}.{os.getpid()}.tmp"
            torch.save(dict(made), temporary)
            publish(temporary, self._path(name))
        self._written = time.monotonic()

    def clear(self) -> None:
        """Remove the files of this task, the work being done."""
        for path in self._folder.glob(f"{self._prefix}*.pt"):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._prefix}{name}.pt"


class Waypoint:
    """One stage's state: what `bayes.Keep` asks for."""

    def __init__(self, waypoints: Waypoints, name: str) -> None:
        self._waypoints = waypoints
        self._name = name

    def load(self) -> Mapping[str, Any] | None:
        """See Waypoints."""
        return self._waypoints.load(self._name)

    def offer(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """See Waypoints."""
        self._waypoints.offer(self._name, state)


def _size(state: Mapping[str, Any]) -> int:
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(each.numel() * each.element_size() for each in tensors)
