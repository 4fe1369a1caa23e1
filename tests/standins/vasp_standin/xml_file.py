"""vasprun.xml, in the form in which VASP writes it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .job import Job
from .solve import Solution

VERSION = "6.3.0"
KILOBAR = 1602.1766208
"""kB in 1 eV/Å³."""


def vasprun(job: Job, solution: Solution, scaled: np.ndarray, *, nan_forces: bool) -> str:
    """The whole file. scaled: (n, 3) positions to report."""
    lines = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>',
        "<modeling>",
        *_generator(),
        *_incar(job),
        *_kpoints(job),
        *_parameters(job, solution),
        *_atominfo(job),
        *_structure(job, scaled, "initialpos"),
        " <calculation>",
        *_scsteps(solution),
        *_structure(job, scaled, None),
        *_varray("forces", _force_rows(solution, nan_forces), "  "),
        *_varray("stress", (_v(row) for row in -KILOBAR * solution.stress), "  "),
        *_energy(solution, solution.energies[-1], "  "),
        '  <time name="totalsc">    1.00    1.00</time>',
        *_eigenvalues(job, solution),
        *_dos(job, solution),
        " </calculation>",
        *_structure(job, scaled, "finalpos"),
        "</modeling>",
    ]
    return "\n".join(lines) + "\n"


def _v(values: Iterable[float]) -> str:
    return " ".join(f"{value:15.8f}" for value in values)


def _force_rows(solution: Solution, nan_forces: bool) -> list[str]:
    rows = [_v(row) for row in solution.forces]
    return ["*************** *************** ***************", *rows[1:]] if nan_forces else rows


def _varray(name: str, rows: Iterable[str], indent: str) -> list[str]:
    inside = [f"{indent} <v> {row} </v>" for row in rows]
    return [f'{indent}<varray name="{name}" >', *inside, f"{indent}</varray>"]


def _item(name: str, value: object, kind: str = "") -> str:
    attribute = f' type="{kind}"' if kind else ""
    return f'<i{attribute} name="{name}">{value}</i>'


def _generator() -> list[str]:
    return [
        " <generator>",
        "  " + _item("program", "vasp ", "string"),
        "  " + _item("version", VERSION + "  ", "string"),
        "  " + _item("subversion", "(stand-in) complex parallel ", "string"),
        "  " + _item("platform", "Linux ", "string"),
        "  " + _item("date", "2025 01 01 ", "string"),
        "  " + _item("time", "00:00:00 ", "string"),
        " </generator>",
    ]


def _incar(job: Job) -> list[str]:
    skipped = {"MAGMOM", "LDAUL", "LDAUU", "LDAUJ"}
    items = [
        "  " + _item(tag, f" {value}", "string")
        for tag, value in job.tags.items()
        if tag not in skipped
    ]
    return [" <incar>", *items, *_lists(job, "  "), " </incar>"]


def _lists(job: Job, indent: str) -> list[str]:
    n_atoms, n_species = len(job.atoms), len(job.species)
    lines = []
    for tag, length in (("MAGMOM", n_atoms), ("LDAUU", n_species), ("LDAUJ", n_species)):
        if tag in job.tags:
            lines.append(f'{indent}<v name="{tag}"> {_v(job.list(tag, length, 0.0))}</v>')
    if "LDAUL" in job.tags:
        orbitals = " ".join(f"{value:4.0f}" for value in job.list("LDAUL", n_species, -1))
        lines.append(f'{indent}<v type="int" name="LDAUL"> {orbitals}</v>')
    return lines


def _kpoints(job: Job) -> list[str]:
    weight = 1.0 / len(job.kpoints)
    divisions = " ".join(f"{count:8d}" for count in job.divisions)
    return [
        " <kpoints>",
        f'  <generation param="{job.mesh}">',
        f'   <v type="int" name="divisions">{divisions} </v>',
        f'   <v name="usershift"> {_v(np.zeros(3))} </v>',
        *(f'   <v name="genvec{i + 1}"> {_v(row)} </v>' for i, row in
          enumerate(np.diag(1.0 / np.array(job.divisions)))),
        f'   <v name="shift"> {_v(np.zeros(3))} </v>',
        "  </generation>",
        *_varray("kpointlist", (_v(point) for point in job.kpoints), "  "),
        *_varray("weights", (_v([weight]) for _ in job.kpoints), "  "),
        " </kpoints>",
    ]  # fmt: skip


def _parameters(job: Job, solution: Solution) -> list[str]:
    integers = {
        "NBANDS": len(solution.levels),
        "ISMEAR": int(job.number("ISMEAR", 1)),
        "ISTART": int(job.number("ISTART", 0)),
        "ICHARG": int(job.number("ICHARG", 2)),
        "ISPIN": int(job.number("ISPIN", 1)),
        "NELM": int(job.number("NELM", 60)),
        "NELMIN": 2,
        "NSW": int(job.number("NSW", 0)),
        "IBRION": int(job.number("IBRION", -1)),
        "ISIF": int(job.number("ISIF", 2)),
        "LORBIT": int(job.number("LORBIT", 0)),
        "NEDOS": 11,
        "ISYM": int(job.number("ISYM", 2)),
    }
    numbers = {
        "ENMAX": job.number("ENCUT", max(each.enmax for each in job.species)),
        "EDIFF": job.number("EDIFF", 1e-4),
        "NELECT": job.n_electrons,
        "SIGMA": job.number("SIGMA", 0.2),
        "NUPDOWN": job.number("NUPDOWN", -1.0),
        "POTIM": 0.5,
        "EFERMI": 0.0,
        "AEXX": job.number("AEXX", 0.25 if job.flag("LHFCALC", False) else 0.0),
        "HFSCREEN": job.number("HFSCREEN", 0.0),
    }
    flags = ("LDAU", "LHFCALC", "LASPH", "LNONCOLLINEAR", "LSORBIT", "LWAVE", "LCHARG", "LREAL")
    return [
        " <parameters>",
        '  <separator name="general" >',
        "   " + _item("SYSTEM", job.text("SYSTEM", "unknown system"), "string"),
        "   " + _item("PREC", job.text("PREC", "normal").lower()[:6], "string"),
        "   " + _item("GGA", job.text("GGA", "--"), "string"),
        *("   " + _item(name, f"{value:6d}", "int") for name, value in integers.items()),
        *("   " + _item(name, f"{value:16.8f}") for name, value in numbers.items()),
        *("   " + _item(name, " T  " if job.flag(name, False) else " F  ", "logical")
          for name in flags),
        *_lists(job, "   "),
        "  </separator>",
        '  <separator name="response functions" >',
        "   " + _item("NELM", f"{1:6d}", "int"),
        "  </separator>",
        " </parameters>",
    ]  # fmt: skip


def _atominfo(job: Job) -> list[str]:
    kinds = [index for index, each in enumerate(job.species, start=1) for _ in range(each.count)]
    atoms = [
        f"    <rc><c>{symbol:2s}</c><c>{kind:4d}</c></rc>"
        for symbol, kind in zip(job.atoms.symbols, kinds, strict=True)
    ]
    species = [
        f"    <rc><c>{each.count:4d}</c><c>{each.symbol:2s}</c><c>{each.mass:16.8f}</c>"
        f"<c>{each.zval:16.8f}</c><c>  {each.title:38s}</c></rc>"
        for each in job.species
    ]
    return [
        " <atominfo>",
        f"  <atoms>{len(job.atoms):8d} </atoms>",
        f"  <types>{len(job.species):8d} </types>",
        '  <array name="atoms" >',
        '   <dimension dim="1">ion</dimension>',
        '   <field type="string">element</field>',
        '   <field type="int">atomtype</field>',
        "   <set>",
        *atoms,
        "   </set>",
        "  </array>",
        '  <array name="atomtypes" >',
        '   <dimension dim="1">type</dimension>',
        '   <field type="int">atomspertype</field>',
        '   <field type="string">element</field>',
        "   <field>mass</field>",
        "   <field>valence</field>",
        '   <field type="string">pseudopotential</field>',
        "   <set>",
        *species,
        "   </set>",
        "  </array>",
        " </atominfo>",
    ]


def _structure(job: Job, scaled: np.ndarray, name: str | None) -> list[str]:
    opening = f' <structure name="{name}" >' if name else " <structure>"
    return [
        opening,
        "  <crystal>",
        *_varray("basis", (_v(row) for row in job.atoms.cell.array), "   "),
        f'   <i name="volume"> {job.atoms.get_volume():15.8f} </i>',
        *_varray("rec_basis", (_v(row) for row in job.atoms.cell.reciprocal()), "   "),
        "  </crystal>",
        *_varray("positions", (_v(row) for row in scaled), "  "),
        " </structure>",
    ]


def _scsteps(solution: Solution) -> list[str]:
    lines = []
    for energy in solution.energies:
        lines += [
            "  <scstep>",
            '   <time name="total">    0.10    0.10</time>',
            *_energy(solution, energy, "   "),
            "  </scstep>",
        ]
    return lines


def _energy(solution: Solution, energy: float, indent: str) -> list[str]:
    without = energy + solution.entropy
    return [
        f"{indent}<energy>",
        f'{indent} <i name="e_fr_energy"> {energy:15.8f} </i>',
        f'{indent} <i name="e_wo_entrp"> {without:15.8f} </i>',
        f'{indent} <i name="e_0_energy"> {0.5 * (energy + without):15.8f} </i>',
        f"{indent}</energy>",
    ]


def _eigenvalues(job: Job, solution: Solution) -> list[str]:
    rows = [
        f"       <r> {level:9.4f} {filling:9.4f} </r>"
        for level, filling in zip(solution.levels, solution.filling, strict=True)
    ]
    lines = [
        "  <eigenvalues>",
        "   <array>",
        '    <dimension dim="1">band</dimension>',
        '    <dimension dim="2">kpoint</dimension>',
        '    <dimension dim="3">spin</dimension>',
        "    <field>eigene</field>",
        "    <field>occ</field>",
        "    <set>",
    ]
    for spin in range(1 + job.polarised):
        lines.append(f'     <set comment="spin {spin + 1}">')
        for index in range(len(job.kpoints)):
            lines += [f'      <set comment="kpoint {index + 1}">', *rows, "      </set>"]
        lines.append("     </set>")
    return [*lines, "    </set>", "   </array>", "  </eigenvalues>"]


def _dos(job: Job, solution: Solution) -> list[str]:
    edges = np.linspace(solution.levels.min() - 1.0, solution.levels.max() + 1.0, 11)
    below = [float((solution.levels <= edge).sum()) for edge in edges]
    density = np.gradient(below, edges)
    rows = [
        f"       <r> {edge:11.4f} {value:11.4f} {count:11.4f} </r>"
        for edge, value, count in zip(edges, density, below, strict=True)
    ]
    spins = []
    for spin in range(1 + job.polarised):
        spins += [f'      <set comment="spin {spin + 1}">', *rows, "      </set>"]
    return [
        "  <dos>",
        f'   <i name="efermi"> {solution.fermi:15.8f} </i>',
        "   <total>",
        "    <array>",
        '     <dimension dim="1">gridpoints</dimension>',
        '     <dimension dim="2">spin</dimension>',
        "     <field>energy</field>",
        "     <field>total</field>",
        "     <field>integrated</field>",
        "     <set>",
        *spins,
        "     </set>",
        "    </array>",
        "   </total>",
        "  </dos>",
    ]
