"""VASP, licensed software that the user has installed; started by the site's MPI launcher."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import Failure, Label, Structure
from bnnflow.reference.base import Remedy
from bnnflow.reference.checks import check_spin
from bnnflow.reference.vasp.functionals import WITH_U
from bnnflow.reference.vasp.incar import incar_text
from bnnflow.reference.vasp.kpoints import MESHES, Mesh, as_divisions, divisions_for
from bnnflow.reference.vasp.layout import Layout, lay_out
from bnnflow.reference.vasp.level import level_of
from bnnflow.reference.vasp.potcar import Potcar, find_potcars
from bnnflow.reference.vasp.remedies import remedies_of
from bnnflow.reference.vasp.result import parse_result
from bnnflow.reference.vasp.signs import explain
from bnnflow.reference.vasp.tags import (
    hubbard,
    incar_tags,
    level_tags,
    n_valence,
    named_functional,
    spin_is_fixed,
)

RESTART_FILES = ("WAVECAR", "CHGCAR")


@dataclass(frozen=True)
class VASPReference:
    """VASP with its settings; None and empty: the template's, else that of `tags.DEFAULTS`.

    functional: PBE, PBE+U, B3LYP, ... ("": the user's own tags); encut_eV: plane-wave cutoff;
    ediff_eV: of the electronic loop; ismear, sigma_eV: occupation; ispin: 1 or 2; magmom: element
    to starting moment (µB), or one per atom; fix_spin: hold the moment at the multiplicity
    (default: unless that is 1); ldau: element to {U, J, l}; dispersion: D3, D3(BJ), ...; kpoints:
    divisions of the mesh, or kspacing_per_A, with mesh gamma or monkhorst-pack; box_A: edge of the
    cubic box of a molecule; potcars: element to name in potcar_folder (default: `VASP_PP_PATH`);
    incar: any other tag; incar_template: file; restart: start from the label before; program: the
    executable.
    """

    functional: str = ""
    encut_eV: float | None = None
    ediff_eV: float | None = None
    prec: str | None = None
    ismear: int | None = None
    sigma_eV: float | None = None
    ispin: int | None = None
    magmom: Mapping[str, Any] = field(default_factory=dict)
    fix_spin: bool | None = None
    ldau: Mapping[str, Any] = field(default_factory=dict)
    ldau_type: int = 2
    dispersion: str = ""
    kpoints: Sequence[int] | None = None
    kspacing_per_A: float | None = None
    mesh: str = "gamma"
    box_A: float | None = None
    potcars: Mapping[str, Any] = field(default_factory=dict)
    potcar_folder: str = ""
    incar: Mapping[str, Any] = field(default_factory=dict)
    incar_template: str = ""
    restart: bool = False
    program: str = "vasp_std"

    isolated: ClassVar[bool] = True
    has_stress: ClassVar[bool] = True
    parallel: ClassVar[bool] = True
    scratch: ClassVar[tuple[str, ...]] = (
        "WAVECAR",
        "CHG",
        "CHGCAR",
        "POTCAR",
        "PROCAR",
        "DOSCAR",
        "EIGENVAL",
        "IBZKPT",
        "PCDAT",
        "XDATCAR",
        "REPORT",
        "WAVEDER",
        "vaspout.h5",
        "vaspwave.h5",
    )

    def __post_init__(self) -> None:
        _check_options(self)
        level_tags(self)

    @property
    def level(self) -> str:
        """Everything that changes the numbers, in words."""
        return level_of(self)

    @property
    def restart_files(self) -> tuple[str, ...]:
        """Orbitals and density of the label before, when asked for."""
        return RESTART_FILES if self.restart else ()

    def check(self, structure: Structure) -> None:
        """Refuse what has no cell, no k-points, no POTCARs, or an impossible spin."""
        layout = lay_out(structure, box_A=self.box_A)
        self.mesh_for(layout)
        potcars = self.potcars_for(layout)
        electrons = n_valence(layout, potcars)
        if electrons <= 0:
            raise StructureError(
                f"charge {structure.charge} leaves {electrons:g} valence electrons: correct charge"
            )
        if spin_is_fixed(self, layout) and electrons == round(electrons):
            check_spin(structure, n_electrons=round(electrons) + structure.charge)
        incar_text(incar_tags(self, layout, potcars, restarting=False))

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write POSCAR, INCAR, KPOINTS and POTCAR."""
        layout = lay_out(structure, box_A=self.box_A)
        potcars = self.potcars_for(layout)
        restarting = all((directory / name).is_file() for name in RESTART_FILES)
        tags = incar_tags(self, layout, potcars, restarting=restarting)
        (directory / "POSCAR").write_text(layout.poscar())
        (directory / "INCAR").write_text(incar_text(tags))
        (directory / "KPOINTS").write_text(self.mesh_for(layout).text())
        (directory / "POTCAR").write_bytes(b"".join(potcar.read() for potcar in potcars))

    def command(self, directory: Path) -> list[str]:  # noqa: ARG002
        """The program, which reads the folder it is started in."""
        return shlex.split(self.program)

    def explain(self, directory: Path) -> Failure | None:
        """What VASP said before it stopped."""
        return explain(directory)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read vasprun.xml and OUTCAR."""
        layout = lay_out(structure, box_A=self.box_A)
        potcars = self.potcars_for(layout)
        return parse_result(
            layout,
            directory,
            level=self.level,
            mesh=self.mesh_for(layout),
            potcars=potcars,
            n_electrons=n_valence(layout, potcars),
        )

    def remedies(self) -> tuple[Remedy, ...]:
        """Other ways to the same self-consistent solution."""
        return remedies_of(self)

    def mesh_for(self, layout: Layout) -> Mesh:
        """The k-points of a structure; a molecule needs none but Gamma."""
        if self.kpoints is not None:
            return Mesh(as_divisions(self.kpoints), self.mesh)
        if self.kspacing_per_A is not None:
            return Mesh(divisions_for(self.kspacing_per_A, layout.cell), self.mesh)
        if layout.structure.pbc.any():
            raise ConfigError(
                "vasp: the structure is periodic and there are no k-points: set kpoints to a mesh "
                "such as [4, 4, 4], or kspacing_per_A"
            )
        return Mesh((1, 1, 1))

    def potcars_for(self, layout: Layout) -> tuple[Potcar, ...]:
        """The POTCARs of a structure's species, in the order of POSCAR."""
        return find_potcars(
            layout.species,
            names=self.potcars,
            folder=self.potcar_folder,
            family=named_functional(self).family,
        )


def _check_options(options: VASPReference) -> None:
    """Refuse what contradicts itself, before anything is looked up."""
    if options.functional and bool(options.ldau) != options.functional.endswith(WITH_U):
        raise ConfigError(
            f"vasp: functional is {options.functional} and ldau is "
            f"{'set' if options.ldau else 'empty'}: name one with +U and give ldau, or neither"
        )
    for symbol in options.ldau:
        hubbard(options.ldau, symbol)
    if options.kpoints is not None and options.kspacing_per_A is not None:
        raise ConfigError("vasp: kpoints and kspacing_per_A are both set: keep one")
    if options.kpoints is not None and (len(options.kpoints) != 3 or min(options.kpoints) < 1):
        raise ConfigError(f"vasp: kpoints is {options.kpoints}, expected three numbers from 1 on")
    if options.mesh not in MESHES:
        raise ConfigError(f"vasp: mesh is {options.mesh}, expected {' or '.join(MESHES)}")
    if options.ispin not in (None, 1, 2):
        raise ConfigError(f"vasp: ispin is {options.ispin}, expected 1 or 2")
    if options.ispin == 1 and options.magmom:
        raise ConfigError("vasp: magmom is set and ispin is 1: set ispin to 2, or remove magmom")
    for name in ("encut_eV", "ediff_eV", "sigma_eV", "kspacing_per_A", "box_A"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ConfigError(f"vasp: {name} is {value}, expected a number above 0")
    if not options.program.split():
        raise ConfigError("vasp: program is empty, expected a command such as vasp_std")
