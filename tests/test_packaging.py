"""What the wheel holds is what the folders hold, and the pins cover what is asked for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def plain(requirement: str) -> str:
    """A requirement's package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[=<>!~;]", requirement)[0]).lower()


def test_listed_packages_are_the_folders():
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("bnnflow", "executors", "workflows")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"executors.site_configs"}


def test_every_dependency_is_pinned():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "==" not in line] == []
    project = PROJECT["project"]
    asked = [project["dependencies"], *project["optional-dependencies"].values()]
    assert {plain(item) for group in asked for item in group} <= {plain(line) for line in lines}


def test_site_configs_are_data():
    assert list((ROOT / "site-configs").rglob("*.py")) == []


@pytest.mark.slow
def test_an_installed_wheel_works_outside_the_checkout(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "runs", "*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    installed = tmp_path / "installed"
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(installed)
    code = (
        "import bnnflow, executors, workflows, importlib.resources as r; "
        "print(bnnflow.__file__, executors.__file__, workflows.__file__); "
        "print(*sorted(p.name for p in r.files('executors.site_configs').iterdir())); "
        "print(*sorted(p.name for p in (r.files('bnnflow') / 'foundation').iterdir()))"
    )
    environment = os.environ | {"PYTHONPATH": str(installed)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    files, sites, models = run.stdout.splitlines()
    assert all(Path(file).is_relative_to(installed) for file in files.split())
    assert "local.yaml" in sites.split()
    assert any(name.endswith(".safetensors") for name in models.split())
