"""What a run has done and how well: metrics, conformers, motion, status, report and more.

The names are modules, each loaded when it is first used: a status line needs no plots.
"""

from importlib import import_module
from types import ModuleType

__all__ = ["conformers", "export", "metrics", "motion", "report", "status", "validation"]


def __getattr__(name: str) -> ModuleType:
    """Load a module of this room on first use (PEP 562)."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
