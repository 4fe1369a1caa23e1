"""Reference labels: real electronic-structure calculations with one result type.

A reference code is prepare / command / parse over a directory of its own (`base.Reference`);
`label` runs one, checks the result and keeps the evidence. A calculation that failed is a
`Failure` with its cause, never a number.
"""

from bnnflow.reference.base import Reference
from bnnflow.reference.labelling import label, read_label
from bnnflow.reference.registry import build_reference

__all__ = ["Reference", "build_reference", "label", "read_label"]
