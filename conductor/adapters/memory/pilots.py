"""Which pilots were asked for, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.adapters.memory.store import Store
from conductor.base.errors import Fenced
from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates


class MemoryPilots:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._engines: dict[str, EngineState] = {}
        self._pilots: dict[str, Pilot] = {}
        self._jobs: dict[str, JobSubmission] = {}
        self._claims: dict[str, str] = {}

    def states(self) -> PilotStates:
        with self._store.lock:
            return PilotStates(
                engines=dict(self._engines), pilots=dict(self._pilots), submissions=dict(self._jobs)
            )

    def write(
        self, epoch: int, engine: EngineState, pilots: Sequence[Pilot] = (), forgotten: Sequence[str] = ()
    ) -> None:
        with self._store.lock:
            self._write_engine(epoch, engine)
            self._pilots.update((pilot.key, pilot) for pilot in pilots)
            for key in forgotten:
                self._pilots.pop(key, None)
                self._claims.pop(key, None)

    def write_jobs(
        self,
        epoch: int,
        engine: EngineState,
        jobs: Sequence[JobSubmission] = (),
        forgotten: Sequence[str] = (),
    ) -> None:
        with self._store.lock:
            self._write_engine(epoch, engine)
            self._jobs.update((job.key, job) for job in jobs)
            for key in forgotten:
                self._jobs.pop(key, None)

    def _write_engine(self, epoch: int, engine: EngineState) -> None:
        if epoch != self._store.epoch:
            raise Fenced("this conductor no longer leads")
        self._engines[engine.name] = engine

    def claim(self, key: str, owner: str) -> str:
        with self._store.lock:
            pilot = self._pilots.get(key)
            if pilot is not None and pilot.state not in ("asking", "placed"):
                return pilot.state
            return "" if self._claims.setdefault(key, owner) == owner else "claimed"
