"""Figures and tables of whole studies, one trajectory and several, and the report's sections."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hops import line
from motions import motion, random_walk

from bnnflow.analysis.motion import Source, Study, analyse, figures_of, table_of
from bnnflow.analysis.motion.finding import json_able, text
from bnnflow.analysis.motion.results import together
from bnnflow.analysis.motion.sections import motion_sections
from bnnflow.analysis.motion.study import Angle, Bond

EVERYTHING = Study(
    bonds=(Bond("O", "H", 2), Bond("O", "O", 6)),
    msd=("H", "all"),
    jumps=(("H", "O"),),
    rdf=(("O", "O"),),
    adf=(Angle(("H", "O", "H"), 3.0),),
    vdos=("H",),
    reach=4.0,
)


def liquid(seed: int, diffusion: float = 0.002) -> Source:
    """Thirty atoms that diffuse, D in Å²/fs."""
    paths = random_walk(300, 30, diffusion=diffusion, seed=seed)
    paths += np.random.default_rng(seed).uniform(0, 8, size=(30, 3))
    found = motion(["O"] * 10 + ["H"] * 20, paths, 8.0)
    return Source(f"liquid {seed}", found, found.times)


def crystal(seed: int) -> Source:
    """A perovskite that vibrates about its places."""
    places = np.array([[0, 0, 0], [2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    noise = np.random.default_rng(seed).normal(scale=0.05, size=(100, 4, 3))
    found = motion(["Mn", "O", "O", "O"], places + noise, 4.0)
    return Source(f"crystal {seed}", found, found.times)


def hopping(labels: np.ndarray) -> Source:
    found = line([0] * 400 + [1] * 400 + [2] * 400)
    return Source("hopping", found, found.times, labels)


def test_a_study_gives_every_figure_and_a_row_of_each() -> None:
    found = analyse(liquid(1), EVERYTHING)
    assert [(finding.kind, finding.of) for finding in found.findings] == [
        ("bonds", "O-H"),
        ("bonds", "O-O"),
        ("msd", "H"),
        ("msd", "all"),
        ("jumps", "H:O"),
        ("rdf", "O-O"),
        ("adf", "H-O-H"),
        ("vdos", "H"),
    ]
    figures = figures_of([found])["trajectories"][0]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["atoms"], figures["frames"], figures["frame_fs"]) == (30, 300, 1.0)
    assert figures["msd"]["H"]["diffusion_A2_per_ps"]["value"] == pytest.approx(2.0, rel=0.3)
    assert figures["msd"]["H"]["diffusion_cm2_per_s"]["value"] == pytest.approx(2e-4, rel=0.3)
    assert "labels" not in figures["jumps"]["H:O"]
    assert figures["vdos"]["H"]["states"] == pytest.approx(60.0)


def test_labels_are_compared_with_jumps_where_there_are_labels() -> None:
    labels = np.array([600.0, 603.0, 1200.0, 300.0, 900.0])
    found = analyse(hopping(labels), Study(jumps=(("H", "S"),)))
    figures = figures_of([found])["trajectories"][0]["jumps"]["H:S"]
    assert (figures["count"], figures["labels"]["labels_inside"]) == (2, 3)
    assert figures["rate_per_ps"]["value"] == pytest.approx(2 / 1.8)
    assert figures["rate_per_ps"]["low"] == pytest.approx(0.242 / 1.8, rel=1e-3)  # Garwood, n = 2
    assert figures["rate_per_ps"]["high"] == pytest.approx(7.225 / 1.8, rel=1e-3)
    assert figures["events"][0] == {"time_fs": 600.0, "atom": 4, "from": 0, "to": 1}
    outside = (5 - 3) / (1 - 22 / 1200)
    assert figures["labels"]["ratio"] == pytest.approx(3 / (22 / 1200) / outside)
    assert "3 of 5 labels in windows of 15 fs that take 1.8% of the time" in table_of([found])


def test_without_labels_in_reach_nothing_is_claimed() -> None:
    found = analyse(hopping(np.zeros(0)), Study(jumps=(("H", "S"),)))
    assert "2 jumps and 0 labels: nothing to compare yet" in table_of([found])
    assert figures_of([found])["trajectories"][0]["jumps"]["H:S"]["labels"]["ratio"] is None


def test_a_fast_hydrogen_without_jumps_has_no_distances_before_them() -> None:
    still = line([0] * 40)
    found = analyse(Source("still", still, still.times), Study(jumps=(("H", "S"),)))
    assert [row.name for row in found.rows] == ["H:S jump rate"]
    assert "0 jumps in 0.06 ps" in found.rows[0].note


def test_several_trajectories_are_averaged_with_their_spread() -> None:
    every = [analyse(liquid(seed), Study(msd=("H",))) for seed in range(5)]
    values = np.array([one.rows[0].value for one in every])
    (row,) = together(every)
    assert row.value == pytest.approx(values.mean())
    assert row.error == pytest.approx(values.std(ddof=1) / np.sqrt(5))
    figures = figures_of(every)
    assert figures["together"]["D(H)"]["value"] == pytest.approx(values.mean())
    assert "5 trajectories together" in table_of(every)
    assert "together" not in figures_of(every[:1])


def test_what_one_trajectory_lacks_is_left_out_of_the_mean() -> None:
    study = Study(jumps=(("H", "S"),))
    some = [np.array([600.0, 300.0]), np.zeros(0), np.array([600.0, 300.0, 900.0])]
    every = [analyse(hopping(labels), study) for labels in some]
    values = [one.rows[-1].value for one in every]
    assert np.isnan(values[1])
    row = together(every)[-1]
    assert row.value == pytest.approx((values[0] + values[2]) / 2)
    assert row.note == "mean of 2"
    lone = together(every[:2])[-1]
    assert lone.value == values[0] and np.isnan(lone.error)


@pytest.mark.parametrize(
    ("value", "error", "wanted"),
    [
        (2.18123, 0.0031, "2.1812 ± 0.0031"),
        (123.456, 12.0, "123 ± 12"),
        (0.5, float("nan"), "0.5"),
        (2.0, 0.0, "2"),
        (float("nan"), 0.1, "none"),
    ],
)
def test_numbers_are_given_to_their_error(value: float, error: float, wanted: str) -> None:
    assert text(value, error) == wanted


def test_json_has_no_nan() -> None:
    assert json_able({"a": [1, float("nan"), "x"], "b": (float("inf"), True)}) == {
        "a": [1, None, "x"],
        "b": [None, True],
    }


def test_an_octahedral_site_has_three_lengths_over_time() -> None:
    every = [analyse(crystal(seed), Study(bonds=(Bond("Mn", "O", 6),))) for seed in range(2)]
    names = [row.name for row in every[0].rows]
    assert names == ["Mn-O mean length", "Mn-O long", "Mn-O medium", "Mn-O short"]
    figures = figures_of(every)
    found = figures["trajectories"][0]["bonds"]["Mn-O"]
    assert found["jahn_teller"]["block_ps"] == pytest.approx(0.001 * np.arange(4.5, 100, 10))
    assert not found["exchanged"]
    (section,) = motion_sections(figures)
    assert section.figure is not None and len(section.figure.axes[0].lines) == 6


def test_neighbours_that_change_places_are_no_bonds_that_last() -> None:
    found = analyse(liquid(1, diffusion=0.03), Study(bonds=(Bond("O", "O", 6),)))
    figures = figures_of([found])["trajectories"][0]["bonds"]["O-O"]
    assert figures["exchanged"] and "jahn_teller" not in figures
    assert figures["lasting_mean_A"]["value"] > 1.1 * figures["mean_A"]["value"]
    assert "6 nearest to each O, which are not the same all along" in table_of([found])


@pytest.mark.parametrize("count", [1, 3])
def test_every_analysis_has_a_section_with_units_on_its_axes(count: int) -> None:
    every = [analyse(liquid(seed), EVERYTHING) for seed in range(count)]
    sections = motion_sections(json.loads(json.dumps(figures_of(every))))
    assert len({section.key for section in sections}) == len(sections) == 8
    units = ("(Å)", "(ps)", "(1/Å)", "(Å²)", "(degrees)", "(1/degree)", "(THz)", "(1/THz)")
    for section in sections:
        assert section.figure is not None and section.caption.endswith(".")
        axes = section.figure.axes[0]
        assert axes.get_ylabel().endswith((*units, "O-O"))  # g(r) has no unit
        assert axes.get_xlabel().endswith((*units, "nearest first"))
        assert axes.lines or axes.patches
