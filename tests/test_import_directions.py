"""Who may import whom: docs/architecture.md as a table. Lower rooms never import upper ones."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bnnflow", "executors", "workflows")
INTERNAL = (*PACKAGES, "tests", "benchmarks")

BASE = ("bnnflow.records", "bnnflow.units", "bnnflow.errors", "bnnflow.codec")

# What each module may import of the project, besides its own room; the longest name rules.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "bnnflow.errors": (),
    "bnnflow.units": (),
    "bnnflow.records": ("bnnflow.errors", "bnnflow.units"),
    "bnnflow.codec": ("bnnflow.errors", "bnnflow.units", "bnnflow.records"),
    "bnnflow.bayes": ("bnnflow.errors",),
    "bnnflow.uncertainty": ("bnnflow.records",),
    "bnnflow.potentials": BASE,
    "bnnflow.reference": BASE,
    "bnnflow.data": BASE,
    "bnnflow.sources": (*BASE, "bnnflow.materials"),
    "bnnflow.md": (*BASE, "bnnflow.potentials", "bnnflow.uncertainty"),
    "bnnflow.initial": (*BASE, "bnnflow.md"),
    "bnnflow.training": (*BASE, "bnnflow.bayes", "bnnflow.potentials"),
    "bnnflow": (),  # analysis, config, tasks: all of bnnflow
    "executors": ("bnnflow",),
    "workflows": ("bnnflow", "executors"),
    "workflows.otf": (
        "bnnflow",
        "workflows.ahead",
        "workflows.astray",
        "workflows.initial",
        "workflows.learner",
        "workflows.learning",
        "workflows.plan",
        "workflows.protocol",
        "workflows.requests",
    ),
    "workflows.initial": (
        "bnnflow",
        "workflows.learner",
        "workflows.plan",
        "workflows.protocol",
        "workflows.requests",
    ),
    "workflows.learner": (
        "bnnflow",
        "workflows.ahead",
        "workflows.plan",
        "workflows.pooling",
        "workflows.protocol",
        "workflows.updating",
    ),
    "workflows.updating": (
        "bnnflow",
        "workflows.ahead",
        "workflows.plan",
        "workflows.protocol",
        "workflows.requests",
    ),
    "workflows.pooling": ("bnnflow",),
    "workflows.commons": ("bnnflow", "workflows.pooling", "workflows.protocol"),
    "workflows.sharing": (
        "bnnflow",
        "workflows.ahead",
        "workflows.commons",
        "workflows.learner",
        "workflows.learning",
        "workflows.plan",
        "workflows.protocol",
        "workflows.requests",
        "workflows.updating",
    ),
    "workflows.ahead": (
        "bnnflow",
        "workflows.learning",
        "workflows.plan",
        "workflows.protocol",
        "workflows.requests",
    ),
    "workflows.protocol": ("bnnflow",),
    "workflows.astray": ("bnnflow", "workflows.plan", "workflows.requests"),
    "workflows.plan": ("bnnflow",),
    "workflows.learning": ("bnnflow", "workflows.plan"),
    "workflows.requests": ("bnnflow", "workflows.learning", "workflows.plan"),
}

# Rooms whose libraries are limited, besides Python's own.
MAY_USE: dict[str, tuple[str, ...]] = {
    "bnnflow.bayes": ("torch",),
    "bnnflow.uncertainty": ("numpy", "scipy"),
    "workflows.otf": (),
    "workflows.ahead": ("numpy",),
    "workflows.astray": (),
    "workflows.initial": (),
    "workflows.plan": (),
    "workflows.protocol": (),
    "workflows.learning": ("numpy",),
    "workflows.requests": (),
    "workflows.learner": (),
    "workflows.updating": (),
    "workflows.pooling": (),
    "workflows.commons": (),
    "workflows.sharing": (),
}

ONLY_IN = {"parsl": "executors"}


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def ruling(module: str, table: dict[str, tuple[str, ...]]) -> str | None:
    return max((room for room in table if within(module, room)), key=len, default=None)


def imported(source: str, module: str, is_package: bool = False) -> set[str]:
    """Every module or name that a source imports, at any depth, by its absolute name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def fault(module: str, target: str) -> str | None:
    """Why `module` may not import `target`, or None."""
    library = target.split(".")[0]
    if library in ONLY_IN and not within(module, ONLY_IN[library]):
        return f"{module} imports {library}: only {ONLY_IN[library]} may"
    if library in INTERNAL:
        room = ruling(module, MAY_IMPORT)
        if room is None or not any(within(target, name) for name in (room, *MAY_IMPORT[room])):
            return f"{module} imports {target}: {room} lies below it or beside it"
        return None
    limited = ruling(module, MAY_USE)
    if limited is None or library in MAY_USE[limited] or library in sys.stdlib_module_names:
        return None
    return f"{module} imports {library}: {limited} uses only {MAY_USE[limited]}"


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    targets = sorted(imported(source, module, is_package))
    return [text for target in targets if (text := fault(module, target)) is not None]


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_go_downwards(path):
    text = path.read_text(encoding="utf-8")
    assert faults(text, module_name(path), path.name == "__init__.py") == []


def test_every_room_of_the_table_exists():
    names = {module_name(path) for path in sources()}
    assert [room for room in MAY_IMPORT if room not in names] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bnnflow.bayes.sghmc", "import numpy as np"),
        ("bnnflow.bayes.sghmc", "from bnnflow.records import Label"),
        ("bnnflow.uncertainty.reduce", "import torch"),
        ("bnnflow.uncertainty.reduce", "from bnnflow import units"),
        ("bnnflow.uncertainty.reduce", "from bnnflow.units import KB"),
        ("bnnflow.data.file", "from bnnflow.potentials import load_potential"),
        ("bnnflow.data.file", "from ..potentials import load_potential"),
        ("bnnflow.data.file", "from bnnflow import Label"),
        ("bnnflow.records", "from bnnflow.codec import load_record"),
        ("bnnflow.md.propagator", "from bnnflow.bayes.sghmc import step"),
        ("bnnflow.training.fit", "from bnnflow.md import EnsembleCalculator"),
        ("bnnflow.tasks", "def work():\n    import executors.apps"),
        ("bnnflow.tasks", "from workflows import driver"),
        ("bnnflow.tasks", "import tests.helpers"),
        ("bnnflow.config", "import parsl"),
        ("workflows.driver", "from parsl.config import Config"),
        ("workflows.otf", "from executors.apps import pools"),
        ("workflows.otf", "import workflows.driver"),
        ("workflows.otf", "import numpy"),
        ("executors.apps", "from workflows.driver import drive"),
    ],
)
def test_a_wrong_import_is_caught(module, source):
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "bnnflow.bayes.sghmc",
            "import torch.func\nimport math\nfrom bnnflow.errors import FaultError",
        ),
        ("bnnflow.bayes.sghmc", "from .prior import log_prior\nfrom torch import nn"),
        (
            "bnnflow.uncertainty.reduce",
            "from scipy import stats\nfrom bnnflow.records import Label",
        ),
        ("bnnflow.md.calculator", "from bnnflow.uncertainty import reduce_members\nimport ase"),
        ("bnnflow.analysis.report", "from bnnflow.data import read_run"),
        ("executors.apps", "import parsl\nfrom bnnflow import tasks"),
        ("workflows.driver", "from executors import apps\nfrom workflows.otf import loop"),
        (
            "workflows.otf",
            "from bnnflow.records import Label\nfrom collections.abc import Generator",
        ),
    ],
)
def test_a_right_import_passes(module, source):
    assert faults(source, module) == []


def test_the_init_of_a_package_is_its_own_room():
    assert imported("from .a import b", "bnnflow.md", is_package=True) == {"bnnflow.md.a.b"}
    assert imported("from . import b", "bnnflow.md.a") == {"bnnflow.md.b"}
