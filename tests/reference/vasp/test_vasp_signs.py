"""What VASP's messages mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnflow.records import FailureCause
from bnnflow.reference.vasp.signs import SIGNS, explain, warnings_in

NOT_CONVERGED, CRASHED, BAD_INPUT = (
    FailureCause.NOT_CONVERGED,
    FailureCause.CRASHED,
    FailureCause.BAD_INPUT,
)


@pytest.mark.parametrize(
    ("message", "cause", "advice"),
    [
        ("Error EDDDAV: Call to ZHEGV failed. Returncode =  12 2 24", NOT_CONVERGED, "eigensolver"),
        (
            "WARNING in EDDRMM: call to ZHEGV failed, returncode =   6  3      6",
            NOT_CONVERGED,
            "be",
        ),
        ("BRMIX: very serious problems", NOT_CONVERGED, "charge density"),
        ("LAPACK: Routine ZPOTRF failed!           1  15  76", NOT_CONVERGED, "orbitals"),
        ("ERROR in subspace rotation PSSYEVX: not enough eigenvalues found", NOT_CONVERGED, ""),
        ("ERROR: while reading WAVECAR, plane wave coefficients changed", NOT_CONVERGED, "start"),
        ("|     TOO FEW BANDS!!", BAD_INPUT, "NBANDS"),
        (" REAL_OPTLAY: internal error (1)", BAD_INPUT, "LREAL"),
        ("Tetrahedron method fails for NKPT<4. NKPT = 1", BAD_INPUT, "ismear"),
        ("Error reading item 'LDAUU' from file INCAR.", BAD_INPUT, "incar"),
        ("internal error in subroutine IBZKPT:", CRASHED, "ISYM"),
        ("POSMAP internal error: symmetry equivalent atom not found", CRASHED, "ISYM"),
        ("inverse of rotation matrix was not found (increase SYMPREC)", CRASHED, "symmetry"),
        ("hard stop encountered!  aborting job ...", CRASHED, "STOPCAR"),
        ("forrtl: severe (174): SIGSEGV, segmentation fault occurred", CRASHED, "stack"),
        ("VERY BAD NEWS! internal error in subroutine SOMETHING:", CRASHED, "internal error"),
        ("----> I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----", BAD_INPUT, "refuses"),
        ("execve(): vasp_std: No such file or directory", BAD_INPUT, "program"),
        ("forrtl: No space left on device", FailureCause.NO_DISK_SPACE, "no disk space"),
        ("slurmstepd: error: Detected 1 oom-kill event(s)", FailureCause.OUT_OF_MEMORY, "memory"),
    ],
)
@pytest.mark.parametrize("file", ["output.log", "OUTCAR"])
def test_messages(
    message: str, cause: FailureCause, advice: str, file: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(f" running on 4 cores\n {message}\n and more\n")
    failure = explain(tmp_path)
    assert failure is not None
    assert failure.cause is cause
    assert advice in failure.message
    assert message.strip(" |-!.*")[:20] in failure.message
    assert "\n" not in failure.message


def test_a_fatal_message_counts_more_than_a_warning_before_it(tmp_path: Path) -> None:
    (tmp_path / "output.log").write_text(
        "WARNING in EDDRMM: call to ZHEGV failed, returncode =   6  3      6\n"
        "forrtl: severe (174): SIGSEGV, segmentation fault occurred\n"
    )
    failure = explain(tmp_path)
    assert failure is not None
    assert failure.cause is CRASHED


def test_an_ordinary_output_says_nothing(tmp_path: Path) -> None:
    assert explain(tmp_path) is None
    (tmp_path / "OUTCAR").write_text(
        " Subroutine IBZKPT returns following result:\n Subroutine PRICEL returns:\n"
        " TETIRR: Found    102 inequivalent tetrahedra from     3072\n"
        "   LREAL  =      T    real-space projection\n Optimization of the real space projectors\n"
    )
    assert explain(tmp_path) is None


def test_warnings_are_kept_once(tmp_path: Path) -> None:
    line = " WARNING: Sub-Space-Matrix is not hermitian in DAV            2\n"
    (tmp_path / "output.log").write_text("DAV: 1\n" + 3 * line)
    (tmp_path / "OUTCAR").write_text("|  ADVICE TO THIS USER RUNNING 'VASP/VAMP'   |\n")
    assert warnings_in(tmp_path) == [
        "WARNING: Sub-Space-Matrix is not hermitian in DAV 2",
        "ADVICE TO THIS USER RUNNING 'VASP/VAMP'",
    ]
    assert explain(tmp_path) is None


def test_every_sign_has_advice() -> None:
    assert all(sign.advice for sign in SIGNS)
