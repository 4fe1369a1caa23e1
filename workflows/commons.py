"""What the walkers of one material have in common: labels, ensemble, calibrations, energy shift.

It lives in the coordinator, between the loops of the walkers and that of the curator (`sharing`),
which alone writes it, into a run folder of its own. Walkers learn at once what a label teaches the
calibrations; what it teaches the ensemble comes with the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace

from bnnflow.errors import TaskError
from bnnflow.records import EnsembleRef, Labelled, LoopState, Phase
from workflows.pooling import CalibrationPool
from workflows.protocol import Await


class Commons:
    """Shared by the walkers of one material while one coordinator drives them.

    state: the curator's last committed one; members: walkers that are not done; leader: the one
    that has begun to label for the first version; pool, name: of a campaign that pools the priors
    of calibrations, and of the material there.
    """

    def __init__(
        self,
        state: LoopState,
        members: Collection[str],
        *,
        leader: str | None = None,
        pool: CalibrationPool | None = None,
        name: str = "",
    ) -> None:
        self.state = state
        self._pool = pool
        self._name = name
        self._learnt = state
        self._members = set(members)
        self._all_done = True
        self._pending: list[Labelled] = []
        self._fresh: set[int] = set()
        self._leader = leader
        self._opened: set[str] = set()
        self._curator: Future[bool] | None = None
        self._waiting: list[tuple[Callable[[], bool], Future[int]]] = []
        self._error: Exception | None = None
        self.given_up = False
        """Whether the curator was left, for lack of time, with work to do."""

    @property
    def ensemble(self) -> EnsembleRef | None:
        """The newest version."""
        return self.state.ensemble

    @property
    def version(self) -> int:
        """Its number, 0 before there is one."""
        return self.state.ensemble.version if self.state.ensemble else 0

    @property
    def n_labels(self) -> int:
        """Labels of all walkers, those that the curator has still to take included."""
        return len(self.state.labels) + len(self._pending)

    @property
    def finished(self) -> bool:
        """Whether all walkers have come to their ends."""
        return self._all_done and not self._members

    def share(self, state: LoopState) -> LoopState:
        """A walker's state with the newest of what is common."""
        return replace(self.with_calibrations(state), ensemble=self.ensemble)

    def with_calibrations(self, state: LoopState) -> LoopState:
        """A walker's state with the newest of what is common, but for the ensemble."""
        known = self._learnt
        return replace(
            state,
            calibration=known.calibration,
            estimates=known.estimates,
            energy_shift=_first_known(known.energy_shift, state.energy_shift),
        )

    def enter(self, name: str) -> None:
        """A walker's loop is about to begin."""
        self._opened.add(name)

    def leads(self, name: str) -> bool:
        """Whether a walker is the one to label its first frame, from which the rest begins."""
        self._leader = self._leader or name
        return self._leader == name

    def after_label(self, state: LoopState) -> LoopState:
        """The same for a label that is there, with the prior that other materials give."""
        known = self.with_calibrations(state)
        if self._pool is None:
            return known
        return replace(known, calibration=self._pool.prior_for(self._name, known.calibration))

    def learn(self, state: LoopState) -> None:
        """Take over what a walker's label has taught the calibrations, and the shift."""
        if self._pool is not None:
            self._pool.put(self._name, state.calibration)
        self._learnt = replace(
            self._learnt,
            calibration=state.calibration,
            estimates=state.estimates,
            energy_shift=_first_known(self._learnt.energy_shift, state.energy_shift),
        )

    def hand_in(self, events: Sequence[Labelled], last: str) -> Future[int]:
        """Give the curator labels; ends, with its number, when a version has seen them.

        last: name of the newest label of this walker, handed in now or before.
        """
        self._pending += [event for event in events if not self.knows(event.name)]
        self._wake_curator()
        return self._when(lambda: self._has_seen(last))

    def renew(self, chains: Collection[int], version: int) -> Future[int]:
        """Have chains of a version start anew; ends when there is a newer one."""
        under_way = self.state.phase is Phase.UPDATE and set(chains) <= set(self.state.fresh)
        if self.version <= version and not under_way:
            self._fresh |= set(chains)
            self._wake_curator()
        return self.newer_than(version)

    def newer_than(self, version: int) -> Future[int]:
        """Ends when there is a newer version, or when another walker has to lead."""
        return self._when(lambda: self.version > version or not (self.version or self._leader))

    def leave(self, name: str, *, done: bool) -> None:
        """A walker's loop has ended. done: it came to its end."""
        self._all_done &= done
        self._members.discard(name)
        self._opened.discard(name)
        if self._leader == name:
            self._leader = None
            self._wake()
        self._wake_curator()

    def fail(self, error: Exception) -> None:
        """The curator's loop has ended with an error: so do all who wait for it."""
        self._error = TaskError(f"the shared ensemble's own run stopped: {error}")
        self._wake()

    def awaited(self, future: Future[int]) -> Await:
        """The request of a walker that waits for a version."""
        return Await(future, lambda: self.given_up)

    def give_up(self) -> None:
        """The curator is left where it stands: no version comes in this session any more."""
        self.given_up = True

    def work(self) -> Await:
        """For the curator: answered when there is a label, or nobody left: whether there is work.

        Given up when no walker is open that could still bring one.
        """
        waiting: Future[bool] = Future()
        self._curator = waiting
        self._wake_curator()
        return Await(waiting, lambda: not self._opened)

    def take(self, state: LoopState) -> tuple[LoopState, tuple[Labelled, ...]]:
        """For the curator: its state with all that was handed in, and the labels as events."""
        events, self._pending = tuple(self._pending), []
        fresh, self._fresh = tuple(sorted(self._fresh)), set()
        labels = (*state.labels, *(event.name for event in events))
        taken = replace(
            self.with_calibrations(state),
            phase=Phase.UPDATE,
            labels=labels,
            n_requests=len(labels),
            n_new=len(events),
            fresh=fresh,
        )
        self.state = taken
        return taken, events

    def publish(self, state: LoopState) -> None:
        """For the curator: a version is there, and committed."""
        self.state = state
        self._wake()

    def knows(self, name: str) -> bool:
        """Whether the curator has a label, seen by a version or not."""
        return name in self.state.labels or any(event.name == name for event in self._pending)

    def _has_seen(self, name: str) -> bool:
        return self.state.phase is not Phase.UPDATE and name in self.state.labels

    def _when(self, condition: Callable[[], bool]) -> Future[int]:
        future: Future[int] = Future()
        self._waiting.append((condition, future))
        self._wake()
        return future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, future in waiting:
            if self._error is not None:
                future.set_exception(self._error)
            elif condition():
                future.set_result(self.version)
            else:
                self._waiting.append((condition, future))

    def _wake_curator(self) -> None:
        work = bool(self._pending or self._fresh)
        if self._curator is not None and (work or not self._members):
            waiting, self._curator = self._curator, None
            waiting.set_result(work)


def _first_known(ours: float | None, theirs: float | None) -> float | None:
    return theirs if ours is None else ours
