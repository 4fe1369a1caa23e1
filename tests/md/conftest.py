"""Lets the tests of this room share their toy potentials, and run them in a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
