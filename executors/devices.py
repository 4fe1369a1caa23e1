"""A worker's accelerator, once Parsl has pinned it.

Parsl sets the variables of all makers to the same name. ROCm applies ROCR_VISIBLE_DEVICES first
and then counts what is left from 0 for CUDA_VISIBLE_DEVICES, so that with both every device but
the first is out of sight.
"""

from __future__ import annotations

import os

from executors.blocks.start import ACCELERATOR_VARIABLE

_UNWANTED = {
    "amd": ("CUDA_VISIBLE_DEVICES",),
    "intel": ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
}


def settle_pinning() -> None:
    """Leave the variables of this worker's kind of device alone in the environment."""
    for name in _UNWANTED.get(os.environ.get(ACCELERATOR_VARIABLE, ""), ()):
        os.environ.pop(name, None)
