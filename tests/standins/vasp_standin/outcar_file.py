"""OUTCAR, in the form in which VASP writes it: what people and readers look for in it."""

from __future__ import annotations

import numpy as np

from .job import Job
from .solve import Solution
from .xml_file import KILOBAR, VERSION

RULE = "-" * 104


def outcar(job: Job, solution: Solution, positions: np.ndarray) -> str:
    """The whole file. positions: (n, 3) Å, to report."""
    lines = [
        f" vasp.{VERSION} 20Jan22 (stand-in) complex",
        "",
        " executed on             Linux date 2025.01.01  00:00:00",
        " running on    1 total cores",
        "",
        " INCAR:",
        *(f"   {tag} = {value}" for tag, value in job.tags.items()),
        "",
        *_potcars(job),
        f" POSCAR: {job.comment}",
        *_irreducible(job),
        *_dimensions(job, solution),
        *_settings(job),
        *_cell(job),
        *_kpoint_lists(job),
        *_loop(job, solution),
        *_levels(job, solution),
        *_result(job, solution, positions),
        *_end(),
    ]
    return "\n".join(lines) + "\n"


def _potcars(job: Job) -> list[str]:
    names = [f" POTCAR:    {each.title}" for each in job.species]
    blocks = []
    for each in job.species:
        blocks += [
            f" POTCAR:    {each.title}",
            f"   VRHFIN ={each.symbol}: stand-in",
            f"   LEXCH  = {each.lexch}",
            f"   TITEL  = {each.title}",
            f"   POMASS = {each.mass:8.3f}; ZVAL   = {each.zval:8.3f}    mass and valenz",
            f"   ENMAX  = {each.enmax:8.3f}; ENMIN  = {0.75 * each.enmax:8.3f} eV",
            "",
        ]
    return [*names, *blocks]


def _irreducible(job: Job) -> list[str]:
    return [
        "",
        f" Found {len(job.kpoints):6d} irreducible k-points:",
        "",
        " Following reciprocal coordinates:",
        "            Coordinates               Weight",
        *(_row(point, "10.6f") + f"     {1.0:9.6f}" for point in job.kpoints),
        "",
    ]


def _kpoint_lists(job: Job) -> list[str]:
    weight = 1.0 / len(job.kpoints)
    cartesian = job.kpoints @ job.atoms.cell.reciprocal()
    return [
        " k-points in units of 2pi/SCALE and weight: stand-in",
        *(_row(point, "12.8f") + f"{weight:12.3f}" for point in cartesian),
        "",
        " k-points in reciprocal lattice and weights: stand-in",
        *(_row(point, "12.8f") + f"{weight:12.3f}" for point in job.kpoints),
        "",
    ]


def _dimensions(job: Job, solution: Solution) -> list[str]:
    count, bands = len(job.kpoints), len(solution.levels)
    return [
        RULE,
        " Dimension of arrays:",
        f"   k-points           NKPTS = {count:6d}   k-points in BZ     NKDIM = {count:6d}   "
        f"number of bands    NBANDS= {bands:6d}",
        f"   number of dos      NEDOS = {11:6d}   number of ions     NIONS = {len(job.atoms):6d}",
        "   total plane-waves  NPLWV =   1000",
        "   ions per type =            " + " ".join(f"{each.count:4d}" for each in job.species),
        "",
    ]


def _settings(job: Job) -> list[str]:
    spin = int(job.number("ISPIN", 1))
    nelm, ediff = int(job.number("NELM", 60)), job.number("EDIFF", 1e-4)
    return [
        f" SYSTEM =  {job.text('SYSTEM', 'unknown system')}",
        " Startparameter for this run:",
        f"   PREC   = {job.text('PREC', 'normal').lower()[:6]}    normal or accurate",
        f"   ISTART = {int(job.number('ISTART', 0)):6d}    job   : 0-new  1-cont  2-samecut",
        f"   ICHARG = {int(job.number('ICHARG', 2)):6d}    charge: 1-file 2-atom 10-const",
        f"   ISPIN  = {spin:6d}    spin polarized calculation?",
        " Electronic Relaxation 1",
        f"   ENCUT  = {job.number('ENCUT', 0.0):6.1f} eV",
        f"   NELM   = {nelm:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps",
        f"   EDIFF  = {ediff:.1E}   stopping-criterion for ELM",
        f"   LREAL  = {'T' if job.flag('LREAL', False) else 'F':>6s}    real-space projection",
        " Ionic relaxation",
        f"   NSW    = {int(job.number('NSW', 0)):6d}    number of steps for IOM",
        f"   IBRION = {int(job.number('IBRION', -1)):6d}    ionic relax: 0-MD 1-quasi-New 2-CG",
        "  Mass of Ions in am",
        "   POMASS = " + " ".join(f"{each.mass:6.2f}" for each in job.species),
        "  Ionic Valenz",
        "   ZVAL   = " + " ".join(f"{each.zval:6.2f}" for each in job.species),
        f"   NELECT = {job.n_electrons:12.4f}    total number of electrons",
        f"   NUPDOWN= {job.number('NUPDOWN', -1.0):12.4f}    fix difference up-down",
        " DOS related values:",
        f"   ISMEAR = {int(job.number('ISMEAR', 1)):6d};   SIGMA  = {job.number('SIGMA', 0.2):6.2f}"
        "  broadening in eV -4-tet -1-fermi 0-gaus",
        "",
    ]


def _cell(job: Job) -> list[str]:
    cell, inverse = job.atoms.cell.array, job.atoms.cell.reciprocal()
    rows = [_row(a, "13.9f") + _row(b, "13.9f") for a, b in zip(cell, inverse, strict=True)]
    lengths = _row(job.atoms.cell.lengths(), "13.9f") + _row(
        np.linalg.norm(inverse, axis=1), "13.9f"
    )
    return [
        f"  energy-cutoff  : {job.number('ENCUT', 0.0):11.2f}",
        f"  volume of cell : {job.atoms.get_volume():11.2f}",
        "      direct lattice vectors                 reciprocal lattice vectors",
        *rows,
        "",
        "  length of vectors",
        lengths,
        "",
    ]


def _loop(job: Job, solution: Solution) -> list[str]:
    lines: list[str] = []
    total = f"{solution.moments.sum():15.7f}" if job.polarised else ""
    for step, (energy, change) in enumerate(
        zip(solution.energies, solution.changes, strict=True), start=1
    ):
        lines += [
            f"--------------------------------------- Iteration {1:6d}({step:4d})  " + "-" * 39,
            "",
            "      LOOP:  cpu time    0.1000: real time    0.1000",
            "",
            f" total energy-change (2. order) :{change:14.7E}  ({0.5 * change:14.7E})",
            f" number of electron {job.n_electrons:15.7f} magnetization {total}",
            "",
            " Free energy of the ion-electron system (eV)",
            "  ---------------------------------------------------",
            f"  free energy    TOTEN  = {energy:18.8f} eV",
            "",
            f"  energy without entropy = {energy + solution.entropy:18.8f}"
            f"  energy(sigma->0) = {energy + 0.5 * solution.entropy:18.8f}",
            "",
            RULE,
        ]
    reached = "because EDIFF is reached" if solution.converged else (
        "EDIFF was not reached (unconverged)"
    )  # fmt: skip
    return [*lines, "", f"------------------------ aborting loop {reached} " + "-" * 40, ""]


def _levels(job: Job, solution: Solution) -> list[str]:
    lines = [f" E-fermi : {solution.fermi:8.4f}     XC(G=0):  -9.0000     alpha+bet : -9.0000", ""]
    rows = [
        f"  {band:5d} {level:11.4f} {filling:12.5f}"
        for band, (level, filling) in enumerate(
            zip(solution.levels, solution.filling, strict=True), start=1
        )
    ]
    for spin in range(1 + job.polarised):
        lines += [f" spin component {spin + 1}", ""] if job.polarised else []
        for index, point in enumerate(job.kpoints, start=1):
            lines += [
                f" k-point {index:5d} :  " + _row(point, "10.4f"),
                "  band No.  band energies     occupation",
                *rows,
                "",
            ]
    return [*lines, RULE]


def _result(job: Job, solution: Solution, positions: np.ndarray) -> list[str]:
    xx, yy, zz, xy, yz, zx = (
        -KILOBAR * solution.stress[i, j]
        for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
    )
    energy = solution.energies[-1]
    rows = [
        _row(position, "13.5f") + "    " + _row(force, "13.6f")
        for position, force in zip(positions, solution.forces, strict=True)
    ]
    return [
        *_moment_tables(job, solution),
        "  FORCE on cell =-STRESS in cart. coord.  units (eV):",
        "  Direction    XX          YY          ZZ          XY          YZ          ZX",
        "  " + "-" * 86,
        "  in kB  " + "".join(f"{value:12.5f}" for value in (xx, yy, zz, xy, yz, zx)),
        f"  external pressure = {(xx + yy + zz) / 3:12.2f} kB  Pullay stress =        0.00 kB",
        "",
        " VOLUME and BASIS-vectors are now :",
        " " + "-" * 77,
        *_cell(job),
        "",
        " POSITION                                       TOTAL-FORCE (eV/Angst)",
        " " + "-" * 83,
        *rows,
        " " + "-" * 83,
        "    total drift:           " + _row(solution.forces.sum(axis=0), "13.6f"),
        "",
        RULE,
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        "  ---------------------------------------------------",
        f"  free  energy   TOTEN  = {energy:18.8f} eV",
        "",
        f"  energy  without entropy={energy + solution.entropy:18.8f}"
        f"  energy(sigma->0) ={energy + 0.5 * solution.entropy:18.8f}",
        "",
        "     LOOP+:  cpu time    1.0000: real time    1.0000",
        "",
    ]


def _moment_tables(job: Job, solution: Solution) -> list[str]:
    if job.number("LORBIT", 0) < 10:
        return []
    charges = [each.zval for each in job.species for _ in range(each.count)]
    tables = _table(" total charge", charges)
    return [*tables, *_table(" magnetization (x)", solution.moments)] if job.polarised else tables


def _table(title: str, values: object) -> list[str]:
    numbers = np.asarray(values, dtype=float)
    rows = [
        f"{index:5d}     {0.0:8.3f}{0.0:8.3f}{value:8.3f}{value:8.3f}"
        for index, value in enumerate(numbers, start=1)
    ]
    total = f"tot       {0.0:8.3f}{0.0:8.3f}{numbers.sum():8.3f}{numbers.sum():8.3f}"
    closing = ["-" * 50, total] if len(rows) > 1 else []
    head = ["", title, "", "# of ion       s       p       d       tot", "-" * 42]
    return [*head, *rows, *closing, ""]


def _end() -> list[str]:
    return [
        " General timing and accounting informations for this job:",
        " ========================================================",
        "",
        "                  Total CPU time used (sec):        1.000",
        "                            User time (sec):        0.900",
        "                          System time (sec):        0.100",
        "                         Elapsed time (sec):        1.000",
        "",
        "                   Maximum memory used (kb):       10000.",
        "                   Average memory used (kb):           0.",
        "",
        "                          Minor page faults:            0",
        "                          Major page faults:            0",
        "                 Voluntary context switches:            0",
    ]


def _row(values: np.ndarray, form: str) -> str:
    return " ".join(f"{value:{form}}" for value in values)
