"""What an engine refuses is kept from it, and the rest goes on: one kind of job may ask for a partition or a
resource that is not there, and others not. Where it refuses whatever is asked, it is the engine. Pure.
"""

from __future__ import annotations

from msgspec.structs import replace

from conductor.core.pilots.plan import backoff_s
from conductor.model.engine import RefusedRequest
from conductor.model.pilot import EngineState

#: So many classes were refused, and none was taken since: others need not be tried.
MOST_UNLIKE = 3
#: A refusal that has not come again for so long is forgotten.
KEPT_S = 7200.0


def refused(state: EngineState, class_id: str, words: str, now: float) -> EngineState:
    before = state.refused.get(class_id)
    times = 1 if before is None else before.times + 1
    kept = {of: each for of, each in state.refused.items() if now - each.until < KEPT_S}
    said = RefusedRequest(times=times, at=now, until=now + backoff_s(times), words=words)
    return replace(state, refused={**kept, class_id: said})


def taken(state: EngineState, class_id: str, now: float) -> EngineState:
    kept = {of: each for of, each in state.refused.items() if of != class_id}
    return replace(state, refused=kept, placed_at=now)


def refuses_all(state: EngineState) -> bool:
    return sum(each.at > state.placed_at for each in state.refused.values()) >= MOST_UNLIKE


def in_force(state: EngineState, now: float) -> dict[str, RefusedRequest]:
    return {of: each for of, each in state.refused.items() if each.until > now}
