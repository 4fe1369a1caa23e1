"""Members in groups when memory is short: the same numbers, one clear line when nothing fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_mace import Tiny, crystal, molecules

from bnnflow.errors import ModelError
from bnnflow.potentials.ensemble import Ensemble


class Cramped:
    """A potential on a device that holds a few members at a time."""

    def __init__(self, potential, room: int) -> None:
        self._potential, self._room, self.sizes = potential, room, []

    def __getattr__(self, name: str):
        return getattr(self._potential, name)

    def evaluate(self, parameters, batch, *, stress, create_graph):
        if len(parameters) > self._room:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(parameters))
        return self._potential.evaluate(parameters, batch, stress=stress, create_graph=create_graph)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny("4x0e+4x1o", tmp_path_factory.mktemp("groups"))


@pytest.mark.parametrize("structure", [molecules()[0], crystal()], ids=["molecule", "crystal"])
def test_groups_give_the_numbers_of_the_whole(tiny: Tiny, structure) -> None:
    rows = tiny.members(7)
    whole = Ensemble.of(tiny.potential, rows).members(structure)
    cramped = Cramped(tiny.potential, room=3)
    grouped = Ensemble.of(cramped, rows).members(structure)
    assert cramped.sizes == [2, 2, 2, 1]  # 7 and 4 did not fit
    for name in ("energy", "forces", "force_std", "stress"):
        one, other = getattr(whole, name), getattr(grouped, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)


def test_the_next_frame_starts_with_what_fitted(tiny: Tiny) -> None:
    cramped = Cramped(tiny.potential, room=4)
    ensemble = Ensemble.of(cramped, tiny.members(4 * 2))
    ensemble.members(molecules()[0])
    ensemble.members(molecules()[0])
    assert cramped.sizes == [4, 4, 4, 4]
    assert ensemble.groups.size == 4


def test_where_not_even_one_fits_the_run_says_so(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match="one member does not fit"):
        Ensemble.of(Cramped(tiny.potential, room=0), tiny.members(2)).members(molecules()[0])
