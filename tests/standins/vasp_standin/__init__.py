"""A program that stands in for VASP where there is no licence; the same tests fit the real one.

Molecules and other small groups of atoms in a large cell are calculated with GFN1-xTB (tblite,
really self-consistent), everything else with ASE's Lennard-Jones. NELECT, NUPDOWN, NELM, EDIFF,
SIGMA and AMIX have their meaning, WAVECAR shortens the next electronic loop, and what VASP refuses
is refused: missing files, POTCARs that do not fit, lists of a wrong length.

Failures on request, by `VASP_STANDIN=MODE` in the environment or `SYSTEM = standin MODE`:

| mode | what happens |
|---|---|
| unconverged | the electronic loop runs into NELM whatever ALGO is |
| sloshing | as above, unless AMIX is at most 0.2 or ALGO is All or Damped |
| zhegv | the eigensolver fails with exit code 1, unless ALGO is All or Damped |
| truncated | the files end in the middle, exit code 0 |
| killed | the same, by SIGKILL |
| crash, disk, memory | a message on stderr, exit code 1 |
| geometry | another geometry is calculated |
| nan | asterisks where forces should be |
| hang | it never ends |
"""
