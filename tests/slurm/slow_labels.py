"""A reference whose labels take a known time however busy the machine is: GFN2-xTB after a nap."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from tblite.ase import TBLite

NAP_S = 40.0


class SlowTBLite(TBLite):  # type: ignore[misc]
    """GFN2-xTB, not before `NAP_S`."""

    implemented_properties: ClassVar[list[str]] = [*TBLite.implemented_properties, "free_energy"]

    def calculate(self, *arguments: Any, **keywords: Any) -> None:
        time.sleep(NAP_S)
        super().calculate(*arguments, **keywords)
        self.results["free_energy"] = self.results["energy"]
