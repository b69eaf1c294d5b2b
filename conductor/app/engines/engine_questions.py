"""What an engine is asked at a look, whether pilots or single jobs are its business."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.model.engine import EngineJob
from conductor.model.pilot import EngineState
from conductor.ports.engine import Engine

#: What an engine has is asked so often; it is for people.
CAPACITY_EVERY_S = 30.0


class EngineQuestions:
    """Of one engine."""

    def __init__(self, name: str, engine: Engine) -> None:
        self._name = name
        self._engine = engine
        #: All that the engine has of ours was taken in, since this process leads.
        self._has_adopted = False
        self._capacity_at = 0.0

    def begin_anew(self) -> None:
        """At the next look all is taken in that the engine has of ours: somebody else may have led meanwhile,
        or the ledger was emptied."""
        self._has_adopted = False

    def ask(
        self, state: EngineState, keys: Collection[str], now: float
    ) -> tuple[EngineState, dict[str, EngineJob]]:
        """One question for all. Nothing is said of any key where the engine does not answer."""
        try:
            told = self._engine.find(keys) if keys else {}
            if not self._has_adopted:
                told = self._engine.watch().jobs | told
                self._has_adopted = True
            if now - self._capacity_at >= CAPACITY_EVERY_S:
                state = replace(state, capacity=self._engine.capacity())
                self._capacity_at = now
        except Unreachable as e:
            if state.away_since is None:
                emit_event("engine.away", "Engine {engine} does not answer: {error}", engine=self._name,
                           error=str(e))  # fmt: skip
            return replace(state, away_since=state.away_since or now, words=str(e)), {}
        if state.away_since is not None:
            emit_event("engine.back", "Engine {engine} answers again", engine=self._name)
        return replace(state, answered_at=now, away_since=None, words=""), told
