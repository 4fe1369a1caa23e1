"""Import path of the toy potentials of MD."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "md"))
