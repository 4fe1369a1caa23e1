"""As many members side by side as the memory of a device holds."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from bnnflow.errors import ModelError
from bnnflow.potentials.protocol import Output

_log = logging.getLogger(__name__)


class Groups:
    """Evaluates members in groups; the groups halve when memory runs out, and stay that small.

    n_members: k, the size of the first group.
    """

    def __init__(self, n_members: int) -> None:
        self.size = n_members

    def evaluate(self, members: Tensor, function: Callable[[Tensor], Output]) -> Output:
        """Predictions, detached, of all members (k, P) by a function of some of them.

        Raises ModelError when not even one fits.
        """
        while True:
            try:
                return self._in_groups(members, function)
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise ModelError(
                        f"one member does not fit into the memory of {members.device}: expected "
                        "room for one, use a smaller cell or model, or another device"
                    ) from error
            self.size = (self.size + 1) // 2
            _log.warning("memory of %s holds %d members at a time", members.device, self.size)

    def _in_groups(self, members: Tensor, function: Callable[[Tensor], Output]) -> Output:
        # Whole where it fits: the network keeps what it derives from these very weights.
        groups = [members] if self.size >= len(members) else members.split(self.size)
        parts = [_detached(function(group)) for group in groups]
        if len(parts) == 1:
            return parts[0]
        stress = [part.stress for part in parts if part.stress is not None]
        return Output(
            energy=torch.cat([part.energy for part in parts]),
            forces=torch.cat([part.forces for part in parts]),
            stress=torch.cat(stress) if stress else None,
            force_std=torch.cat([part.force_std for part in parts]),
        )


def _detached(output: Output) -> Output:
    stress = None if output.stress is None else output.stress.detach()
    return Output(output.energy.detach(), output.forces.detach(), stress, output.force_std.detach())
