"""Run folders whose wall time, labels and pools a test writes down.

Each commit takes four steps (2 fs), one label of 1.5 s and one update of two tasks of 2 s each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import run_building as building

from bnnflow.config import parse_config
from bnnflow.data import RunStore, add_session, create_run
from bnnflow.records import (
    Commit,
    Driven,
    Event,
    Labelled,
    Phase,
    PoolSize,
    Session,
    Spent,
    Updated,
)

T0 = 1_700_000_000.0
"""When all of it begins, s since the epoch."""
SIZES = {
    "gpu": PoolSize(workers=4, cores=2, accelerators=0.5),
    "dft": PoolSize(workers=2, cores=16),
    "md": PoolSize(workers=1, cores=1),
}


def session(start: float = 0.0, **sizes: PoolSize) -> Session:
    """Pools of the sizes above, an update in two tasks; start: s after T0."""
    return Session(T0 + start, "here", update_tasks=2, pools=SIZES | sizes)


def spent(kind: str, start: float, seconds: float) -> Spent:
    """Wall time; start: s after T0."""
    return Spent(kind, T0 + start, seconds)


def config_text(name: str, length_ps: float = 0.008, use: str = "requested") -> str:
    """The resolved config of a run of ethanol. use: errors that its calibration is made from."""
    values = {
        "material": {"structure": "ethanol", "name": name},
        "threshold": {"energy_kcal_per_mol": 1.0},
        "dynamics": {"length_ps": length_ps, "temperature_K": 300.0},
        "reference": {"engine": "tblite", "options": {"method": "GFN2-xTB"}},
        "calibration": {"use": use} | ({"audit_every_steps": 10} if use != "requested" else {}),
    }
    return parse_config(values).to_yaml()


def open_made(
    folder: Path,
    commits: int = 0,
    spans: Sequence[Spent] = (),
    *,
    sessions: Sequence[Session] = (session(),),
    length_ps: float = 0.008,
    use: str = "requested",
) -> RunStore:
    """A run, still open, with so many commits; all spans are in the first of them."""
    text = config_text(folder.name, length_ps, use)
    store = create_run(
        folder, config_text=text, metadata={"timestep_fs": 0.5, "seed": 1}, state=building.state(0)
    )
    for each in sessions:
        add_session(folder, each)
    for number in range(1, commits + 1):
        put(store, number, spans if number == 1 else ())
    return store


def put(store: RunStore, number: int, extra: Sequence[Event] = ()) -> None:
    """One more commit: MD, a label, an update, and what the test adds."""
    kept = (Driven, Labelled, Updated)
    events = [event for event in building.events(number) if isinstance(event, kept)]
    store.commit(Commit(building.state(number), (*events, *extra)))


def made(folder: Path, commits: int = 0, spans: Sequence[Spent] = (), **more: object) -> Path:
    """The same, closed: nobody drives it. phase: that it ends in; see `open_made`."""
    phase = more.pop("phase", None)
    with open_made(folder, commits, spans, **more) as store:  # type: ignore[arg-type]
        if isinstance(phase, Phase):
            store.commit(Commit(replace(store.state, phase=phase), ()))
    return folder
