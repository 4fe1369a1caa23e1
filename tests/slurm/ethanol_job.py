"""The ethanol job of the front page, shrunk: GFN2-xTB for labels, four short chains, 13 steps."""

from __future__ import annotations

from bnnflow.config import RunConfig, parse_config


def config(site: str, **reference: object) -> RunConfig:
    """site: by path; reference: keys that replace the reference."""
    return parse_config(
        {
            "material": {"structure": "ethanol"},
            "potential": {"model": "chno-small"},
            "threshold": {"energy_kcal_per_mol": 3.0},
            "dynamics": {
                "kind": "langevin",
                "temperature_K": 300,
                "timestep_fs": 0.5,
                "friction_per_fs": 0.01,
                "length_ps": 0.0065,
                "checkpoint_every_steps": 10,
            },
            "sampler": {
                "schedule": "rto",
                "chains": 4,
                "trajectories": 3,
                "leapfrog_steps": 3,
            },
            "reference": reference or {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
            "run": {"seed": 1, "site": site},
        }
    )
