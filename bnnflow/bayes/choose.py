"""Some chains from one state, the others from another."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor

State = TypeVar("State")


def choose(first: Tensor, one: State, other: State) -> State:
    """`one` for the chains where `first` (k,) holds, `other` elsewhere.

    State: a dataclass of tensors whose leading axis is the chains'.
    """

    def pick(name: str) -> Tensor:
        value: Tensor = getattr(one, name)
        flag = first.reshape(-1, *(1,) * (value.ndim - 1))
        return torch.where(flag, value, getattr(other, name))

    return type(one)(*(pick(item.name) for item in fields(one)))  # type: ignore[arg-type]
