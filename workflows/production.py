"""Production MD with a frozen ensemble: no labels, no updates, uncertainties recorded.

    python -m workflows.production runs/ethanol --length-ps 10 --out runs/ethanol/production

Stretches of MD are kept as `NNNNNN.h5`, each a `records.Segment`; run again, it goes on after the
last one. The ensemble is the fine-tuned run's newest version.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnflow import tasks
from bnnflow.codec import load_record, same_record, save_record
from bnnflow.config import RunConfig, config_from_yaml
from bnnflow.data import RunData, read_run
from bnnflow.errors import ConfigError, RunFolderError, TaskError
from bnnflow.md import describe, start
from bnnflow.records import Checkpoint, EnsembleRef, Failure, PropagateRequest, Segment
from bnnflow.units import to_kcal_per_mol
from executors.base import Executor, Pool
from workflows.console import guarded
from workflows.session import derived_seed, newest_ensemble, open_executor
from workflows.submission import Submission

LOGGER = logging.getLogger(__name__)


def produce(
    folder: Path,
    *,
    out: Path,
    length_ps: float,
    temperature_kelvin: float | None = None,
    seed: int = 0,
    inline: bool = False,
    site: str | None = None,
    write: Callable[[str], object] = LOGGER.info,
) -> list[Path]:
    """Run MD with the final ensemble of a run and return the files of its stretches.

    folder: a fine-tuned run; out: folder of the stretches; temperature_kelvin: of the thermostat
    (default: the run's schedule); seed: which velocities and noise; write: takes a line for every
    stretch (default: a log), whose sigma is the root mean square of its steps'. Raises
    RunFolderError when the run has no ensemble yet or `out` holds another production, TaskError
    when MD fails.
    """
    run = read_run(folder)
    config = config_from_yaml(run.config_text)
    ensemble = newest_ensemble(run, folder)
    n_steps = round(1000.0 * length_ps / config.dynamics.timestep_fs)
    if n_steps < 1:
        raise ConfigError(
            f"length_ps is {length_ps:g}, expected at least one MD step: make it longer"
        )
    request = _request(run, config, ensemble, temperature_kelvin, seed)
    executor = open_executor(site or config.run.site, inline=inline, folder=out)
    _claim(out, request)
    with executor:
        return _stretches(request, executor, out=out, n_steps=n_steps, write=write)


def _claim(out: Path, request: PropagateRequest) -> None:
    """Keep the request beside its stretches; a folder that holds another's is refused."""
    kept = out / "request.h5"
    settings = replace(request, ensemble=replace(request.ensemble, directory=""))
    if not kept.is_file():
        out.mkdir(parents=True, exist_ok=True)
        save_record(kept, settings)
    elif not same_record(load_record(kept, PropagateRequest), settings):
        raise RunFolderError(
            f"{out} holds another production run: choose another folder with --out"
        )


def _stretches(
    request: PropagateRequest,
    executor: Executor,
    *,
    out: Path,
    n_steps: int,
    write: Callable[[str], object],
) -> list[Path]:
    done = sorted(out.glob("[0-9]*.h5"), key=lambda path: int(path.stem))
    checkpoint = load_record(done[-1], Segment).checkpoint if done else request.checkpoint
    while checkpoint.step < n_steps:
        size = min(request.n_steps, n_steps - checkpoint.step)
        stretch = replace(
            request, checkpoint=checkpoint, n_steps=size, evidence=str(out / "evidence")
        )
        segment = Submission(executor, Pool.MD, tasks.propagate, stretch).result()
        if isinstance(segment, Failure):
            raise TaskError(f"production MD failed after step {checkpoint.step}: {segment.message}")
        if segment.trip is not None:
            what = describe(segment.trip, request.dynamics.timestep_fs)
            raise TaskError(
                f"production MD makes no sense any more: {what}: see {stretch.evidence}"
            )
        done.append(out / f"{segment.checkpoint.step:06d}.h5")
        save_record(done[-1], segment)
        checkpoint = segment.checkpoint
        write(_line(segment, n_steps * request.dynamics.timestep_fs / 1000.0, request))
    return done


def _line(segment: Segment, length_ps: float, request: PropagateRequest) -> str:
    time_ps = segment.checkpoint.step * request.dynamics.timestep_fs / 1000.0
    sigma = to_kcal_per_mol(float(np.sqrt(np.mean(segment.energy_std**2))))
    return (
        f"{time_ps:.4f}/{length_ps:g} ps  {segment.temperature.mean():.0f} K  "
        f"sigma {sigma:.3f} kcal/mol  {segment.seconds:.1f} s"
    )


def _request(
    run: RunData,
    config: RunConfig,
    ensemble: EnsembleRef,
    temperature_kelvin: float | None,
    seed: int,
) -> PropagateRequest:
    structure = run.state.checkpoint.structure
    dynamics = config.dynamics.record()
    if temperature_kelvin is not None:
        dynamics = replace(dynamics, temperature_schedule=((0.0, temperature_kelvin),))
    first: Checkpoint = start(
        structure, dynamics=dynamics, seed=derived_seed(config.run.seed, "production", str(seed))
    )
    return PropagateRequest(
        potential=config.potential.record(),
        ensemble=ensemble,
        energy_std_floor=config.threshold.energy_std_eV(len(structure)),
        checkpoint=first,
        dynamics=dynamics,
        n_steps=config.dynamics.checkpoint_every_steps,
        limit=float("inf"),
        guards=config.guards.record(),
    )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Production MD with a frozen ensemble.")
    parser.add_argument("folder", type=Path, help="fine-tuned run")
    parser.add_argument("--out", type=Path, help="default: FOLDER/production")
    parser.add_argument("--length-ps", type=float, default=10.0)
    parser.add_argument("--temperature-kelvin", type=float)
    parser.add_argument("--seed", type=int, default=0, help="which velocities and noise")
    options = parser.parse_args()
    files = produce(
        options.folder,
        out=options.out or options.folder / "production",
        length_ps=options.length_ps,
        temperature_kelvin=options.temperature_kelvin,
        seed=options.seed,
        write=functools.partial(print, flush=True),
    )
    print(f"{len(files)} stretches up to {files[-1]}")


if __name__ == "__main__":
    sys.exit(guarded(main))
