"""`python -m bnnflow`: the same as the installed command `bnnflow`.

The command line lies above this package, which must not import it; it is found by its entry point.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points


def main() -> None:
    """Run the installed console command."""
    commands = entry_points(group="console_scripts", name="bnnflow")
    if not commands:
        sys.exit(
            "the command bnnflow is not installed: run `pip install -e .` in the project folder"
        )
    next(iter(commands)).load()()


if __name__ == "__main__":
    main()
