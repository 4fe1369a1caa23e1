"""What all tests share: one thread for torch, and one start of the pools per session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from executors.pools import ParslExecutor


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParslExecutor]:
    """The local site's pools, started once; tests must leave them working."""
    from executors.pools import ParslExecutor
    from executors.site import load_site

    with ParslExecutor(load_site("local"), tmp_path_factory.mktemp("pools")) as executor:
        yield executor
