"""Where materials come from: names, files, folders, databases here and elsewhere.

Each source gives named structures with their origin in words; what is in a source and cannot be
used comes as `Unusable` with the reason. A source that gives nothing at all raises StructureError.
"""

from bnnflow.sources.ase_database import from_ase_database
from bnnflow.sources.exact import extxyz_text
from bnnflow.sources.files import from_file, from_folder
from bnnflow.sources.found import (
    Found,
    NamedStructure,
    Treatment,
    Unusable,
    safe_name,
    with_unique_names,
)
from bnnflow.sources.materials_project import from_materials_project
from bnnflow.sources.named import from_name
from bnnflow.sources.optimade import from_optimade

__all__ = [
    "Found",
    "NamedStructure",
    "Treatment",
    "Unusable",
    "extxyz_text",
    "from_ase_database",
    "from_file",
    "from_folder",
    "from_materials_project",
    "from_name",
    "from_optimade",
    "safe_name",
    "with_unique_names",
]
