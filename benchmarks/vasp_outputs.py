"""VASP's real outputs, file by file: bnnflow's readers against ASE's, pymatgen's and the printout.

    python benchmarks/vasp_outputs.py --data ../shared/data --json

Each figure is the share of a file's comparisons that agree to what the files print: energies to
2e-6 eV, forces to 2e-6 eV/Å, stress to 1e-7 eV/Å³, moments to 1e-3 µB, and the same verdict on
convergence as the changes of energy in the printout (ASE's word on that is shown, not counted).
Then the shares of files that should be refused and are: bad ones, and whole ones cut short.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from vasp_oracles import Frame, by_ase, by_eye, by_pymatgen, has_pymatgen, is_xml, largest, ours

from bnnflow.reference.vasp import Vasprun, read_vasprun

BENCHMARK = "vasp_outputs"
DATA = Path(os.environ.get("BNNFLOW_DATA", Path(__file__).parents[2] / "shared" / "data"))
LIMITS = {"free_energy": 2e-6, "sigma_0": 2e-6, "forces": 2e-6, "stress": 1e-7, "moments": 1e-3}

PAIRS = {
    "pymatgen/pairs/static_silicon/vasprun.xml.gz": "pymatgen/pairs/static_silicon/OUTCAR.xz",
    "pymatgen/pairs/relaxation/vasprun.xml.gz": "pymatgen/pairs/relaxation/OUTCAR.xz",
    "pymatgen/pairs/scan_relaxation/vasprun.xml.gz": "pymatgen/pairs/scan_relaxation/OUTCAR.xz",
    "pymatgen/outputs/vasprun.etest1.xml.gz": "pymatgen/outputs/OUTCAR.etest1.gz",
    "pymatgen/outputs/vasprun.charged.xml.gz": "",
    "pymatgen/outputs/vasprun.magmom_ldau.xml.gz": "",
    "pymatgen/outputs/vasprun.md.xml.gz": "",
    "pymatgen/outputs/vasprun.bad.xml.gz": "",
    "dpdata/vasprun.h2o.md.10.xml.xz": "dpdata/OUTCAR.h2o.md.10.xz",
    "chgnet/parse-vasp-with-magmoms/vasprun.xml.xz": "chgnet/parse-vasp-with-magmoms/OUTCAR.xz",
    "": "pymatgen/outputs/OUTCAR.vasp.6.2.0.gz",
    " ": "dpdata/OUTCAR.ch4.unconverged.xz",
}
"""vasprun.xml -> OUTCAR of the same run, where both are there."""
BAD = {"vasprun.bad.xml": "crashed", "OUTCAR.ch4.unconverged": "not converged"}
"""Files that must give no label, and why."""
LARGEST_TO_CUT = 1_000_000


@dataclass(frozen=True)
class Row:
    """A file, and for each oracle the largest difference per quantity, or the oracle's error."""

    name: str
    version: str
    n_steps: int
    verdict: str
    against: dict[str, dict[str, float | bool | None] | str]

    def agreement(self, oracle: str) -> float | None:
        """Share of the comparisons that agree; None when there are none."""
        found = self.against.get(oracle)
        if found is None or isinstance(found, str):
            return None
        counted = {**found, "converged": None} if oracle == "ASE" else found
        marks = [_agrees(name, value) for name, value in counted.items() if value is not None]
        return sum(marks) / len(marks) if marks else None


def main() -> None:
    """Compare, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description="bnnflow's readers on VASP's real outputs.")
    parser.add_argument("--data", type=Path, default=DATA, help=f"default: {DATA}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    folder = options.data / "vasp"
    if not folder.is_dir():
        raise SystemExit(f"{folder} does not exist: give the folder of reference data with --data")
    with tempfile.TemporaryDirectory() as work:
        rows = compare_all(folder, Path(work))
        refused = shares_refused(rows, Path(work))
    print(as_json(rows, refused) if options.json else table(rows, refused))


def compare_all(folder: Path, work: Path) -> list[Row]:
    """Every file of `PAIRS`, unpacked into `work`."""
    rows = []
    for xml, outcar in PAIRS.items():
        files = [unpacked(folder / name, work) for name in (xml, outcar) if name.strip()]
        printed = next((file for file in files if not is_xml(file)), None)
        rows += [compare(file, printed, work) for file in files]
    return rows


def shares_refused(rows: list[Row], work: Path) -> dict[str, float]:
    """Shares: bad files of the data with the right verdict, good ones with theirs, and cut ones."""
    verdicts = {row.name.rpartition("/")[2]: row.verdict.partition(":")[0] for row in rows}
    right = {name: verdicts[name] == expected for name, expected in BAD.items()}
    good = [word == "good" for name, word in verdicts.items() if name not in BAD]
    whole = [work / row.name for row in rows if row.verdict == "good"]
    cuts = [cut for file in whole if is_xml(file) for cut in cut_short(file)]
    return {
        "bad files refused for the right reason": sum(right.values()) / len(right),
        "good files accepted": sum(good) / len(good),
        "cut files refused": sum(cuts) / len(cuts),
    }


def cut_short(file: Path) -> list[bool]:
    """Whether a vasprun.xml that ends too early is noticed, at ten places; none of a large file."""
    data = file.read_bytes()
    if len(data) > LARGEST_TO_CUT:
        return []
    target = file.with_name("cut-vasprun.xml")
    noticed = []
    for share in np.linspace(0.05, 0.999, 10):
        target.write_bytes(data[: int(share * len(data))])
        noticed.append(bool(read_vasprun(target).problem))
    return noticed


def unpacked(path: Path, work: Path) -> Path:
    """The file without its compression, in the same place below `work`."""
    if not path.is_file():
        raise SystemExit(f"{path} is missing: restore the reference data")
    opener = {".gz": gzip.open, ".xz": lzma.open}[path.suffix]
    target = work / "_".join(path.parts[-3:-1]) / path.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    with opener(path, "rb") as packed:
        target.write_bytes(packed.read())
    return target


def compare(file: Path, printed: Path | None, work: Path) -> Row:
    """One file against each oracle that can read it."""
    mine, run = ours(file)
    readers: dict[str, Callable[[], list[Frame]]] = {"ASE": lambda: by_ase(file)}
    if is_xml(file) and has_pymatgen():
        readers["pymatgen"] = lambda: by_pymatgen(file)
    if printed is not None:
        readers["printout"] = lambda: by_eye(printed)
    against = {name: _differences(mine, reader) for name, reader in readers.items()}
    return Row(str(file.relative_to(work)), run.version, len(mine), verdict(mine, run), against)


def verdict(frames: list[Frame], run: object) -> str:
    """What is wrong with a run in words, "good" when nothing is."""
    if isinstance(run, Vasprun) and run.problem:
        return f"crashed: {run.problem}"
    bad = [str(index) for index, frame in enumerate(frames, start=1) if frame.converged is False]
    return f"not converged: step {', '.join(bad)}" if bad else "good"


def _differences(
    mine: list[Frame], reader: Callable[[], list[Frame]]
) -> dict[str, float | bool | None] | str:
    try:
        theirs = reader()
    except Exception as error:  # an oracle that fails on a file is a result
        return f"fails: {type(error).__name__}"
    if len(theirs) != len(mine):
        return f"reads {len(theirs)} of {len(mine)} steps"
    pairs = list(zip(mine, theirs, strict=True))
    found: dict[str, float | bool | None] = {
        name: largest([(getattr(a, name), getattr(b, name)) for a, b in pairs]) for name in LIMITS
    }
    both = [(a.converged, b.converged) for a, b in pairs if None not in (a.converged, b.converged)]
    return found | {"converged": all(a == b for a, b in both) if both else None}


def _agrees(name: str, value: float | bool) -> bool:
    return value if isinstance(value, bool) else value <= LIMITS[name]


def as_json(rows: list[Row], refused: dict[str, float]) -> str:
    """The one line of the benchmark convention."""
    figures = {
        f"{row.name}/{oracle}": round(share, 3)
        for row in rows
        for oracle in row.against
        if (share := row.agreement(oracle)) is not None
    }
    figures |= {name: round(share, 3) for name, share in refused.items()}
    settings = {
        "limits": LIMITS,
        "verdicts": {row.name: row.verdict for row in rows},
        "differences": {row.name: row.against for row in rows},
    }
    return json.dumps({"benchmark": BENCHMARK, "figures": figures, "settings": settings})


def table(rows: list[Row], refused: dict[str, float]) -> str:
    """One line per file and oracle, then the shares."""
    lines = [
        f"{'file':52s} {'version':8s} {'steps':5s} {'against':9s} "
        f"{'energy':8s} {'sigma->0':8s} {'forces':8s} {'stress':8s} {'moments':8s} converged"
    ]
    for row in rows:
        lines.append(
            f"{row.name:52s} {row.version[:8]:8s} {row.n_steps:5d} {'verdict':9s} {row.verdict}"
        )
        lines += [f"{'':68s}{oracle:9s} {_cells(found)}" for oracle, found in row.against.items()]
    lines += [f"{name}: {share:.1%}" for name, share in refused.items()]
    return "\n".join(lines)


def _cells(found: dict[str, float | bool | None] | str) -> str:
    if isinstance(found, str):
        return found
    cells = ["-" if found[name] is None else f"{found[name]:.1e}" for name in LIMITS]
    words = {True: "same", False: "DIFFERS", None: "-"}[found["converged"]]  # type: ignore[index]
    return " ".join(f"{cell:8s}" for cell in cells) + f" {words}"


if __name__ == "__main__":
    main()
