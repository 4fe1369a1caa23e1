"""VASP: input from typed options, output read by readers of our own, failures by their messages.

`VASPReference` is the engine; `read_vasprun` and `read_outcar` read any of VASP's runs.
"""

from bnnflow.reference.vasp.engine import VASPReference
from bnnflow.reference.vasp.outcar import Outcar, OutcarStep, read_outcar
from bnnflow.reference.vasp.vasprun import IonicStep, Vasprun, read_vasprun

__all__ = [
    "IonicStep",
    "Outcar",
    "OutcarStep",
    "VASPReference",
    "Vasprun",
    "read_outcar",
    "read_vasprun",
]
