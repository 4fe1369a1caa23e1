"""The noise stream of a walker: numpy's PCG64, whose state is plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bnnflow.errors import RunFolderError
from bnnflow.records import Checkpoint


def generator_for(seed: int) -> np.random.Generator:
    """A noise stream from the seed of a walker."""
    return np.random.Generator(np.random.PCG64(seed))


def generator_from(state: Mapping[str, Any]) -> np.random.Generator:
    """The noise stream that goes on where `state`, of a generator's `bit_generator`, left it.

    Raises RunFolderError when the state is not one of PCG64.
    """
    bits: Any = np.random.PCG64()
    try:
        bits.state = dict(state)
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"the checkpoint holds no noise stream of PCG64 ({error}): start the walker anew"
        ) from error
    return np.random.Generator(bits)


def with_new_noise(checkpoint: Checkpoint) -> Checkpoint:
    """The same state with its noise stream jumped ahead, far from any draw made before."""
    bits: Any = generator_from(checkpoint.rng).bit_generator
    return replace(checkpoint, rng=bits.jumped().state)
