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
from bnnflow.sources.named import from_name

__all__ = [
    "Found",
    "NamedStructure",
    "Treatment",
    "Unusable",
    "extxyz_text",
    "from_ase_database",
    "from_file",
    "from_folder",
    "from_name",
    "safe_name",
    "with_unique_names",
]
