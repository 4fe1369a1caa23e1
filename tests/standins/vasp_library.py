"""A made-up POTCAR library, and what to run as VASP in tests.

With `BNNFLOW_TEST_VASP` (a command, such as vasp_std) and `VASP_PP_PATH` set, the tests run VASP
itself with that library instead of the stand-in and POTCARs that hold titles and figures only.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

STANDIN = shlex.join([sys.executable, str(Path(__file__).parent / "vasp_std")])
PROGRAM = os.environ.get("BNNFLOW_TEST_VASP", STANDIN)
REAL = PROGRAM != STANDIN

VALENCE: dict[str, float] = {
    "H": 1,
    "C": 4,
    "N": 5,
    "O": 6,
    "Si": 4,
    "S": 6,
    "Cl": 7,
    "Ca_sv": 10,
    "Mn": 7,
    "Mn_pv": 13,
    "Co": 9,
    "Cu": 11,
    "Zr_sv": 12,
    "La": 11,
}
"""Name in the library -> ZVAL."""


def library(folder: Path) -> str:
    """The library to use: the real one, or a made-up one written into a folder."""
    if REAL:
        return os.environ["VASP_PP_PATH"]
    for name, zval in VALENCE.items():
        write_potcar(folder / "potpaw_PBE" / name / "POTCAR", name, zval=zval)
    return str(folder)


def write_potcar(
    path: Path, name: str, *, zval: float = 4.0, enmax: float = 300.0, lexch: str = "PE"
) -> None:
    """A POTCAR with a title and figures, and none of the data of a real one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"  PAW_PBE {name} 01Jan2000\n"
        f"   {zval:.8f}\n"
        " parameters from PSCTR are:\n"
        f"   VRHFIN ={name.split('_')[0]}: made up\n"
        f"   LEXCH  = {lexch}\n"
        f"   TITEL  = PAW_PBE {name} 01Jan2000\n"
        f"   POMASS =   10.000; ZVAL   = {zval:8.3f}    mass and valenz\n"
        f"   ENMAX  = {enmax:8.3f}; ENMIN  = {0.75 * enmax:8.3f} eV\n"
        " End of Dataset\n"
    )
