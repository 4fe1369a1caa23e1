"""Which entries of MACE's parameters belong to which element (DECISIONS 6).

Three kinds of parameter hold one row per element: the embedding, the element-wise skip connection
and the weights of the symmetric contraction. Rows of elements that a system lacks get no gradient
from its labels; sampling them would only walk them away from the pre-trained model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def element_mask(name: str, value: Tensor, model: Any, present: list[bool]) -> Tensor:
    """A bool tensor shaped like `value`: True where the entry acts on the elements present.

    present: one flag per element of the model, in the model's order.
    """
    flags = torch.tensor(present)
    if "node_embedding" in name:
        return (
            flags[:, None].expand(len(present), value.numel() // len(present)).reshape(value.shape)
        )
    if "symmetric_contractions" in name and value.shape[0] == len(present):
        return flags[:, None, None].expand(value.shape).clone()
    if "skip_tp" in name:
        return _skip_mask(model.interactions[_layer(name)].skip_tp, flags).reshape(value.shape)
    return torch.ones(value.shape, dtype=torch.bool)


def _layer(name: str) -> int:
    return int(name.split("interactions.")[1].split(".")[0])


def _skip_mask(product: Any, flags: Tensor) -> Tensor:
    """Weights of one instruction are (channels in, elements, channels out), one after another."""
    blocks = []
    for instruction in product.instructions:
        if not instruction.has_weight:
            continue
        shape = instruction.path_shape
        elements = flags if len(flags) == shape[1] else torch.ones(shape[1], dtype=torch.bool)
        blocks.append(elements[None, :, None].expand(*shape).reshape(-1))
    return torch.cat(blocks)
