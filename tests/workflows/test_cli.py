"""The command line: help, exit codes, one line for bad input, and thin delegation."""

import json
import math
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from bnnflow.config import load_config
from bnnflow.errors import TaskError
from bnnflow.potentials import registry
from bnnflow.reference import build_reference
from workflows import cli
from workflows.configs import find_config, shipped_configs

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "run",
    "campaign",
    "plan",
    "resume",
    "merge",
    "submit",
    "status",
    "report",
    "validate",
    "analyse",
    "export",
    "label",
    "site",
    "model",
]
REAL_MODEL = registry.load_potential
GROUPED = [["site", "list"], ["site", "check"], ["model", "list"], ["model", "info"]]
TBLITE = ["reference.engine=tblite", "reference.options={}"]


class FakePotential:
    """As much of a potential as the check reads."""

    elements = (1, 6, 7, 8)
    cutoff = 5.0
    has_stress = True
    dtype = np.dtype(np.float32)

    def active(self, elements):
        """A thousand parameters, whatever the elements."""
        assert elements
        return np.ones(1000, dtype=bool)


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run the console script's own function in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "load_potential", lambda spec: FakePotential())

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnnflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Ended(ended.value.code, captured.out, captured.err)

    return command


@pytest.fixture
def stand_in(monkeypatch):
    """Replace a module that does the work by one that records how it was called."""

    def make(name, **members):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    return make


def one_line(ended, code=2):
    assert ended.code == code
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("bnnflow: ")
    return ended.err


def test_help_is_fast_and_names_every_command():
    start = time.monotonic()
    code = "from workflows.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert time.monotonic() - start < 5.0  # 0.15 s on an idle machine; torch alone takes longer
    assert [name for name in COMMANDS if name not in ended.stdout] == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from workflows import cli; from workflows.console import guarded; "
        "guarded(lambda: cli.app(['--help'], standalone_mode=False)); "
        "print({'torch', 'ase', 'numpy', 'pydantic', 'parsl'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ended.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    "command",
    [*([name] for name in COMMANDS), *GROUPED],
    ids=" ".join,
)
def test_every_command_has_help(call, command):
    ended = call(*command, "--help")
    assert ended.code == 0
    assert "Usage: bnnflow " + " ".join(command) in ended.out


def test_no_command_prints_help(call):
    assert "Commands:" in call().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rn"], ["No such command 'rn'", "run"]),
        (["run"], ["Missing argument", "bnnflow run --help"]),
        (["run", "ethanol", "--foldr", "x"], ["--foldr", "--folder"]),
        (["validate", ".", "--frames", "many"], ["--frames"]),
        (["run", "ethnol"], ["config 'ethnol' does not exist", "did you mean ethanol?"]),
        (["run", "nowhere.yaml"], ["nowhere.yaml", "give the path"]),
        (["run", "ethanol", "dynamics.timestep_ps=1"], ["did you mean dynamics.timestep_fs?"]),
        (["run", "ethanol", "dynamics.timestep_fs=0.5 fs"], ["without a unit", "write 0.5"]),
        (["run", "ethanol", "sampler=3"], ["sampler is 3"]),
        (["run", "ethanol", "material.structure=no.xyz"], ["neither a file nor a molecule"]),
        (["run", "ethanol", "material.structure=HCl"], ["the model lacks Cl"]),
        (["run", "ethanol", "material.charge=1"], ["odd number", "material.multiplicity"]),
        (["run", "ethanol", "reference.engine=pycsf"], ["did you mean pyscf?"]),
        (["run", "ethanol", "reference.options.basis=def2-SPV"], ["basis def2-SPV"]),
        (["status", "nowhere"], ["nowhere holds no run"]),
        (["resume", "nowhere"], ["nowhere holds no run"]),
        (["run", "ethanol", *TBLITE, "--stop-after", "23"], ["'23' is no time", "23h30m"]),
        (["run", "ethanol", *TBLITE, "--notice", "soon"], ["'soon' is no time"]),
        (["plan", "small-molecules"], ["no task times", "--from RUN"]),
        (["plan", "small-molecules", "--from", "nowhere"], ["nowhere holds no run"]),
        (["plan", "small-molecules", "--label-s", "-5", "--md-s", "1"], ["--label-s is -5"]),
        (["plan", "small-molecules", "--from", ".", "--md-s", "0"], ["--md-s is given beside"]),
        (["plan", "small-molecules", "--label-power", "2"], ["--label-power is given without"]),
        (["submit", "ethnol"], ["config 'ethnol' does not exist", "did you mean ethanol?"]),
        (["report", "nowhere"], ["nowhere holds no run"]),
        (["validate", "nowhere"], ["nowhere holds no run"]),
        (["export", "nowhere", "out"], ["nowhere holds no run"]),
        (["label", "run.seed=1"], ["nothing to label"]),
        (["label", "ethnol"], ["did you mean ethanol?"]),
        (["site", "check", "locl"], ["no site 'locl'", "did you mean local?"]),
        (["model", "info", "chno-smal"], ["unknown model"]),
    ],
    ids=lambda value: " ".join(value) if len(value) > 1 else None,
)
def test_bad_input_is_one_line_and_writes_nothing(call, tmp_path, arguments, words):
    message = one_line(call(*arguments))
    assert [word for word in words if word not in message] == [], message
    assert list(tmp_path.iterdir()) == []


def test_overlapping_atoms_name_the_pair(call, tmp_path):
    write(tmp_path / "close.xyz", Atoms("OH2", [[0, 0, 0], [0, 0, 0.2], [0, 0.9, 0]]))
    message = one_line(call("run", "ethanol", "material.structure=close.xyz"))
    assert "(O) and atom" in message or "(H) and atom" in message
    assert "0.20 Å apart and overlap" in message
    assert [path.name for path in tmp_path.iterdir()] == ["close.xyz"]


def test_bad_input_through_a_real_process(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(find_config("ethanol").read_text().replace("timestep_fs", "timestep_ps"))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from workflows.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", path], capture_output=True, text=True, cwd=tmp_path
    )
    message = one_line(Ended(ended.returncode, ended.stdout, ended.stderr))
    assert "run.yaml: dynamics.timestep_ps is not a known key" in message
    assert [item.name for item in tmp_path.iterdir()] == ["run.yaml"]


def test_a_fault_is_one_line_with_the_traceback_in_a_file(call, stand_in):
    for error, words in [
        (RuntimeError("a\nb"), "internal error, RuntimeError: a b"),
        (TaskError("three labels failed"), "bnnflow: three labels failed"),
    ]:

        def broken(folders, runs, error=error):
            raise error

        stand_in("workflows.watching", write_reports=broken)
        message = one_line(call("report", "x"), code=1)
        assert words in message
        file = Path(message.rsplit("traceback in ", 1)[1].strip())
        assert "Traceback" in file.read_text()
        file.unlink()


def test_ctrl_c_ends_with_130(call, stand_in):
    def interrupted(folders, runs):
        raise KeyboardInterrupt

    stand_in("workflows.watching", write_reports=interrupted)
    assert "interrupted" in one_line(call("report", "x"), code=130)


def test_run_calls_the_session_and_prints_one_json_object(call, stand_in):
    calls = []

    def fine_tune(configs, **how):
        print("progress")
        calls.append((configs, how))

    stand_in("workflows.session", fine_tune=fine_tune)
    stand_in("bnnflow.analysis.report", write_report=lambda folder: folder / "report.html")
    stand_in(
        "bnnflow.analysis.status",
        status=lambda folder: {"labels": np.int64(3), "limit": float("nan")},
        status_table=lambda figures: f"labels {figures['labels']}",
    )
    ended = call("run", "ethanol", "run.seed=7", *TBLITE, "--inline", "--json")
    assert (ended.code, ended.err) == (0, "progress\n")
    assert json.loads(ended.out) == {
        "runs": [{"labels": 3, "limit": None}],
        "reports": ["runs/ethanol/report.html"],
    }
    (configs, how), *rest = calls
    assert rest == []
    assert configs == [load_config(find_config("ethanol"), ["run.seed=7", *TBLITE])]
    assert how.pop("deadline").end == math.inf
    assert how == {"folders": [Path("runs/ethanol")], "inline": True, "site": None}
    table = call("run", "ethanol", *TBLITE, "run.folder=here", "--site", "cluster")
    assert table.out == "progress\nlabels 3\nreport: here/report.html\n"
    assert calls[1][1].pop("deadline").end == math.inf
    assert calls[1][1] == {"folders": [Path("here")], "inline": False, "site": "cluster"}


def test_resume_validate_and_export_pass_their_arguments_on(call, stand_in, monkeypatch):
    class Result:
        def as_dict(self):
            return {"rmse": 0.5}

        def table(self):
            return "rmse 0.5"

    calls = []
    monkeypatch.setattr(cli, "_require", lambda folders: None)
    monkeypatch.setattr(cli, "finish", lambda folders, as_json, deadline: 0)
    stand_in("workflows.session", resume=lambda folders, **how: calls.append((folders, how)))
    stand_in("workflows.validation", validate=lambda f, **how: calls.append((f, how)) or Result())
    stand_in("bnnflow.analysis.export", export_run=lambda folder, out: calls.append(out) or out)
    call("resume", "a", "b", "limits.labels=9", "--inline")
    assert json.loads(call("validate", "a", "--frames", "20", "--json").out) == {"rmse": 0.5}
    assert call("validate", "a").out == "rmse 0.5\n"
    assert call("export", "a", "out").out == "out\n"
    assert calls[0][1].pop("deadline").end == math.inf
    assert calls == [
        ([Path("a"), Path("b")], {"inline": True, "site": None, "overrides": ["limits.labels=9"]}),
        (Path("a"), {"frames": 20, "seed": 0, "inline": False, "site": None}),
        (Path("a"), {"frames": 50, "seed": 0, "inline": False, "site": None}),
        Path("out"),
    ]


@pytest.fixture
def call_with_model(call, monkeypatch):
    """The same where the check of a run asks its potential more than the fake one knows."""
    monkeypatch.setattr(registry, "load_potential", REAL_MODEL)
    monkeypatch.delenv("BNNFLOW_ACCOUNT", raising=False)
    return call


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("local", ["site local has no scheduler", "--stop-after"]),
        ("lumii", ["did you mean lumi?"]),
        ("lumi", ["$BNNFLOW_ACCOUNT"]),
    ],
)
def test_a_site_that_cannot_be_submitted_to(call_with_model, tmp_path, site, words):
    message = one_line(call_with_model("submit", "ethanol", *TBLITE, "--site", site))
    assert [word for word in words if word not in message] == [], message
    assert list(tmp_path.iterdir()) == []


def test_submit_prints_the_script_of_a_run_and_of_a_campaign(call_with_model, tmp_path):
    call = call_with_model
    more = ["--site", "lumi", "--walltime", "12:00:00", "--dry-run"]
    run = call("submit", "ethanol", "run.seed=7", *TBLITE, *more)
    assert (run.code, run.err) == (0, "")
    folder = tmp_path / "runs" / "ethanol"
    words = "run.seed=7 reference.engine=tblite 'reference.options={}' --folder"
    assert f"ethanol.yaml {words} {folder} --site lumi --stop-after 11:59:00" in run.out
    assert f"workflows.cli resume {folder} --site lumi --stop-after 11:59:00" in run.out
    many = call("submit", "small-molecules", *more)
    assert "workflows.cli campaign " in many.out and "/campaign.yaml ] || " in many.out
    assert list(tmp_path.iterdir()) == []


def test_submit_goes_on_with_a_run_that_has_begun(call_with_model, tmp_path, finished):
    call = call_with_model
    shutil.copytree(finished, tmp_path / "runs" / "ethanol")
    more = ["--site", "lumi", "--dry-run"]
    again = call("submit", "runs/ethanol", "limits.labels=9", *more)
    assert again.out.count(f"resume {tmp_path}/runs/ethanol limits.labels=9 --site lumi") == 2
    assert "holds a run already: `bnnflow submit" in one_line(
        call("submit", "ethanol", *TBLITE, *more)
    )


def test_a_session_whose_time_is_up_ends_with_75_and_writes_no_report(call, stand_in):
    def fine_tune(configs, deadline, **how):
        assert 3 * 3600 - 60 < deadline.end - time.time() <= 3 * 3600
        deadline.missed = True

    stand_in("workflows.session", fine_tune=fine_tune)
    stand_in("bnnflow.analysis.report", write_report=None)
    stand_in(
        "bnnflow.analysis.status", status=lambda folder: {}, status_table=lambda figures: "status"
    )
    ended = call("run", "ethanol", *TBLITE, "--stop-after", "3h")
    assert (ended.code, ended.out) == (75, "status\n")
    assert ended.err == (
        "bnnflow: time is up with work left; `bnnflow resume runs/ethanol` goes on\n"
    )


def test_label_gives_the_energy_of_the_reference_itself(call, tmp_path):
    from tblite.ase import TBLite

    water = molecule("H2O")
    water.calc = TBLite(method="GFN2-xTB", verbosity=0)
    write(tmp_path / "water.xyz", molecule("H2O"))
    arguments = ["label", "ethanol", "water.xyz", *TBLITE, "--folder", "evidence"]
    ended = call(*arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    first, second = json.loads(ended.out)["labels"]
    assert (first["target"], second["target"]) == ("ethanol", "water.xyz")
    assert second["energy_eV"] == pytest.approx(water.get_potential_energy(), abs=1e-6)
    assert np.shape(first["forces_eV_per_A"]) == (9, 3)
    assert Path(second["directory"]).is_dir()
    assert "largest force" in call(*arguments).out


def test_a_failed_label_is_printed_with_its_cause_and_code_1(call):
    ended = call("label", "H2O", *TBLITE, "reference.options.max_iterations=1", "--folder", "x")
    assert ended.code == 1
    assert ended.out.startswith("H2O: failed, ")
    assert ended.err == "bnnflow: 1 of 1 labels failed\n"


def test_shipped_configs_are_found_by_name_and_load(call):
    assert {"ethanol", "ethanol-paper"} <= set(shipped_configs())
    default, paper = (load_config(find_config(name)) for name in ("ethanol", "ethanol-paper"))
    assert default.potential.model == paper.potential.model == "chno-small"
    assert (paper.dynamics.length_ps, paper.sampler.steps) == (10.0, 2000)
    assert paper.threshold.energy_kcal_per_mol == 0.5


def test_silicon_ships_from_chgnet_against_quantum_espresso(call):
    config = load_config(find_config("silicon"))
    assert (config.potential.family, config.reference.engine) == ("chgnet", "espresso")
    assert config.reference.launcher == "mpirun -np 2"
    assert config.material.load().numbers.tolist() == [14] * 8
    assert config.sampler.schedule == "rto"
    build_reference(config.reference.spec())


def test_a_file_wins_over_a_shipped_name_and_a_folder_does_not(call, tmp_path):
    (tmp_path / "ethanol").mkdir()
    assert find_config("ethanol").suffix == ".yaml"
    (tmp_path / "ethanol-paper").write_text("x")
    assert find_config("ethanol-paper") == Path("ethanol-paper")


def test_model_list_and_info(call):
    listed = json.loads(call("model", "list", "--json").out)["models"]
    assert listed[0]["name"] == "chno-small"
    assert "chno-small" in call("model", "list").out


def test_site_list_and_check(call):
    assert "local" in json.loads(call("site", "list", "--json").out)["sites"]
    pools = json.loads(call("site", "check", "--json").out)["site"]["pools"]
    assert set(pools) == {"gpu", "dft", "md"}
    assert "local" in call("site", "check", "local").out


def test_version(call):
    from bnnflow import __version__

    assert call("--version").out == f"bnnflow {__version__}\n"
