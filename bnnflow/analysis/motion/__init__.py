"""How atoms move: bond lengths, diffusion, jumps, labels round them, g(r), angles, vibrations.

Every analysis takes a `Motion` (or arrays) and returns a frozen record; `read_source` makes a
`Motion` of a run, a production run or a trajectory file. Formulas and sources: docs/analysis.md.
"""

from bnnflow.analysis.motion.angular import AngularDistribution, angular_distribution
from bnnflow.analysis.motion.averages import Estimate, average
from bnnflow.analysis.motion.bonds import Bonds, bond_lengths, lasting_bond_lengths, lasting_bonds
from bnnflow.analysis.motion.jahn_teller import JahnTeller, jahn_teller_lengths
from bnnflow.analysis.motion.jumps import Hopping, Jump, jump_events
from bnnflow.analysis.motion.label_rate import LabelRate, label_rate_around
from bnnflow.analysis.motion.msd import Diffusion, diffusion, mean_squared_displacement
from bnnflow.analysis.motion.pre_jump import PreJump, pre_jump_distances
from bnnflow.analysis.motion.radial import RadialDistribution, radial_distribution
from bnnflow.analysis.motion.results import Analysed, analyse, figures_of, table_of
from bnnflow.analysis.motion.sources import Source, read_source
from bnnflow.analysis.motion.spectrum import VibrationalDensity, vibrational_density
from bnnflow.analysis.motion.study import Study
from bnnflow.analysis.motion.trajectory import Motion

__all__ = [
    "Motion",
    "Source",
    "read_source",
    "Estimate",
    "average",
    "Bonds",
    "bond_lengths",
    "lasting_bonds",
    "lasting_bond_lengths",
    "JahnTeller",
    "jahn_teller_lengths",
    "Diffusion",
    "diffusion",
    "mean_squared_displacement",
    "Hopping",
    "Jump",
    "jump_events",
    "PreJump",
    "pre_jump_distances",
    "LabelRate",
    "label_rate_around",
    "RadialDistribution",
    "radial_distribution",
    "AngularDistribution",
    "angular_distribution",
    "VibrationalDensity",
    "vibrational_density",
    "Study",
    "Analysed",
    "analyse",
    "figures_of",
    "table_of",
]
