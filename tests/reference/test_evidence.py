"""What stays of a calculation, and what the next one starts from."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from bnnflow.records import Failure, FailureCause, Handling, Label, LabelRequest, Structure
from bnnflow.reference import label, registry
from bnnflow.reference.base import Plain
from bnnflow.reference.checks import failed

Ask = Callable[..., LabelRequest]


@dataclass(frozen=True)
class Counting(Plain):
    """A code that counts on from the file its predecessor left, in a process of its own."""

    good: bool = True
    level: ClassVar[str] = "counting"
    isolated: ClassVar[bool] = True
    has_stress: ClassVar[bool] = False
    parallel: ClassVar[bool] = True
    scratch: ClassVar[tuple[str, ...]] = ("*.tmp", "wave*", "deep")
    restart_files: ClassVar[tuple[str, ...]] = ("wave",)

    def check(self, structure: Structure) -> None: ...

    def prepare(self, structure: Structure, directory: Path) -> None:
        before = directory / "wave"
        (directory / "input").write_text(before.read_text() if before.exists() else "0")

    def command(self, directory: Path) -> list[str]:
        script = (
            "echo $(( $(cat input) + 1 )) > wave; echo $WHERE > where; cp wave result; "
            "touch big.tmp; mkdir -p deep; touch deep/one"
        )
        return ["bash", "-c", script]

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        if not self.good:
            return failed(FailureCause.CRASHED, "made to fail")
        energy = float((directory / "result").read_text())
        forces = np.zeros((len(structure), 3))
        return Label(structure, energy, forces, None, self.level, "", 0.0, "")


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._ENGINES, "counting", Counting)


def files(outcome: Label | Failure) -> set[str]:
    attempt = sorted(Path(outcome.directory).glob("attempt-*"))[-1]
    return {path.name for path in attempt.iterdir()}


RAW = {"input", "result", "where", "output.log"}


def test_scratch_goes_and_the_rest_stays(water: Structure, ask: Ask) -> None:
    assert files(label(ask(water, engine="counting"))) == {*RAW, "wave"}


def test_raw_files_are_compressed_on_request(water: Structure, ask: Ask) -> None:
    found = label(ask(water, engine="counting", handling=Handling(keep="compressed")))
    assert files(found) == {*(f"{name}.gz" for name in RAW), "wave"}
    with gzip.open(Path(found.directory) / "attempt-01" / "result.gz", "rt") as file:
        assert file.read() == "1\n"


def test_the_result_alone_is_kept_on_request(water: Structure, ask: Ask) -> None:
    found = label(ask(water, engine="counting", handling=Handling(keep="result")))
    assert files(found) == {"wave"}
    assert isinstance(found, Label)
    assert found.energy == 1.0


def test_a_failure_keeps_everything(water: Structure, ask: Ask) -> None:
    request = ask(water, engine="counting", good=False, handling=Handling(keep="result"))
    found = label(request)
    assert isinstance(found, Failure)
    assert {path.name for path in Path(found.directory).iterdir()} >= {*RAW, "wave", "big.tmp"}


def test_a_label_starts_from_the_one_before(water: Structure, ask: Ask) -> None:
    first = label(ask(water, engine="counting"))
    second = label(ask(water, engine="counting", folder="0002", previous="0001"))
    assert isinstance(first, Label)
    assert isinstance(second, Label)
    assert (first.energy, second.energy) == (1.0, 2.0)
    assert second.details["restarted_from"] == "0001"
    assert "restarted_from" not in first.details
    assert "wave" not in files(first)
    assert "wave" in files(second)


def test_a_label_that_none_follows_leaves_nothing_to_start_from(water: Structure, ask: Ask) -> None:
    found = label(replace(ask(water, engine="counting"), followed=False))
    assert files(found) == RAW
    later = label(ask(water, engine="counting", folder="0002", previous="0001"))
    assert isinstance(later, Label) and "restarted_from" not in later.details


def test_a_label_before_that_left_nothing_is_no_obstacle(water: Structure, ask: Ask) -> None:
    found = label(ask(water, engine="counting", folder="0002", previous="0001"))
    assert isinstance(found, Label)
    assert "restarted_from" not in found.details


def test_the_launcher_comes_first(water: Structure, ask: Ask) -> None:
    handling = Handling(launcher="env WHERE=launched")
    found = label(ask(water, engine="counting", handling=handling))
    assert (Path(found.directory) / "attempt-01" / "where").read_text() == "launched\n"


def test_an_unknown_choice_is_one_line(water: Structure, ask: Ask) -> None:
    found = label(ask(water, engine="counting", handling=Handling(keep="everything")))
    assert isinstance(found, Failure)
    assert "expected one of all, compressed, result" in found.message
