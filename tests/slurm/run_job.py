"""The coordinator of one job: SITE, FOLDER, maybe the confidence; PySCF labels, one step.

The confidence is low by default, so that the first frame's label is the only one.
"""

import sys

from ethanol_job import config

from workflows.session import fine_tune

REFERENCE = {
    "engine": "pyscf",
    "options": {"method": "B3LYP", "basis": "def2-SVP", "density_fit": True},
}


def main(site: str, folder: str, confidence: str = "0.5") -> None:
    job = config(site, **REFERENCE)
    short = job.dynamics.model_copy(update={"length_ps": 0.0005})
    limit = job.threshold.model_copy(update={"confidence": float(confidence)})
    fine_tune([job.model_copy(update={"dynamics": short, "threshold": limit})], folders=[folder])


if __name__ == "__main__":
    main(*sys.argv[1:])
