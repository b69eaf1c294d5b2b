"""Where the schedules stand, in memory."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.adapters.memory.store import Store
from conductor.base.errors import Fenced
from conductor.model.schedule import FireEnd, ScheduleState, TakenFire


class MemorySchedules:
    def __init__(self, store: Store) -> None:
        self._store = store

    def states(self) -> dict[str, ScheduleState]:
        with self._store.lock:
            return dict(sorted(self._store.schedules.items()))

    def know(self, name: str, handled_to: int, *, is_paused: bool | None = None) -> None:
        with self._store.lock:
            state = self._of(name)
            is_paused = state.is_paused if is_paused is None else is_paused
            waits_since = 0.0 if is_paused else state.waits_since
            handled_to = max(state.handled_to, handled_to)
            self._keep(state, handled_to=handled_to, is_paused=is_paused, waits_since=waits_since)

    def take(
        self, name: str, instant: int, owner: str, lease_s: float, epoch: int | None = None
    ) -> ScheduleState | None:
        with self._store.lock:
            if epoch is not None:
                self._fence(epoch)
            state, now = self._of(name), self._store.now()
            taken = state.taken
            is_again = taken is not None and taken.instant == instant
            if taken is not None and (taken.until > now or not is_again):
                return None
            if taken is None and epoch is not None and instant <= state.handled_to:
                return None
            mine = TakenFire(
                instant=instant,
                owner=owner,
                since=now if taken is None else taken.since,
                until=now + lease_s,
                is_by_hand=epoch is None or (taken is not None and taken.is_by_hand),
            )
            return self._keep(state, taken=mine, waits_since=0.0)

    def keep(self, name: str, instant: int, owner: str, lease_s: float) -> bool:
        with self._store.lock:
            state = self._of(name)
            taken = state.taken
            if taken is None or (taken.instant, taken.owner) != (instant, owner):
                return False
            self._keep(state, taken=replace(taken, until=self._store.now() + lease_s))
            return True

    def end(self, name: str, owner: str, end: FireEnd) -> bool:
        with self._store.lock:
            state = self._of(name)
            taken = state.taken
            if taken is None or (taken.instant, taken.owner) != (end.instant, owner):
                return False
            handled_to = state.handled_to if taken.is_by_hand else max(state.handled_to, end.instant)
            counts = {end.outcome: getattr(state, end.outcome) + 1}
            self._keep(state, taken=None, last=end, handled_to=handled_to, **counts)
            return True

    def skip(self, epoch: int, name: str, handled_to: int, fires: int) -> bool:
        with self._store.lock:
            self._fence(epoch)
            state = self._of(name)
            if handled_to <= state.handled_to:
                return False
            self._keep(state, handled_to=handled_to, skipped=state.skipped + fires)
            return True

    def hold(self, epoch: int, name: str) -> bool:
        with self._store.lock:
            self._fence(epoch)
            state = self._of(name)
            if state.waits_since:
                return False
            self._keep(state, waits_since=self._store.now())
            return True

    # ── all of them, under the lock ───────────────────────────────────────────────────────────────────────

    def _of(self, name: str) -> ScheduleState:
        return self._store.schedules.get(name) or ScheduleState(name=name, handled_to=0)

    def _keep(self, state: ScheduleState, **changes: object) -> ScheduleState:
        state = self._store.schedules[state.name] = replace(state, **changes)
        return state

    def _fence(self, epoch: int) -> None:
        if epoch != self._store.epoch:
            raise Fenced("this conductor no longer leads")
