"""One look at an engine that pilots come from: what became of them, which ones are asked for, and which are
given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from msgspec.structs import replace

from conductor.app.engines.engine_questions import EngineQuestions
from conductor.app.engines.pilot_submission import key_of
from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.core.pilots.follow import follow, is_grown, is_young
from conductor.core.pilots.plan import backoff_s, plan
from conductor.core.pilots.waiting_work import WaitingWork, waiting_work
from conductor.model.engine import EngineJob, Submission
from conductor.model.pilot import EngineState, Pilot, PilotRules
from conductor.model.snapshot import Lookahead
from conductor.ports import Ledger
from conductor.ports.engine import Engine

#: Of pilots that are over so much is kept.
KEPT_S = 86_400.0
#: The last so many starts say how long one takes.
STARTS = 9


class PilotRound:
    """Of one engine. `submission`: what it is given for a pilot; `prefix`: how its keys begin."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        rules: PilotRules,
        ledger: Ledger,
        *,
        prefix: str,
        submission: Callable[[Pilot], Submission],
        headroom: Mapping[str, int],
        kind: str = "",
    ) -> None:
        self._name = name
        self._engine = engine
        self._rules = rules
        self._ledger = ledger
        self._prefix = prefix
        self._submission = submission
        self._headroom = headroom
        self._kind = kind
        self._questions = EngineQuestions(name, engine)
        self._epoch = 0

    def begin_anew(self) -> None:
        """Somebody else led meanwhile, or the ledger was emptied."""
        self._questions.begin_anew()

    def look(self, epoch: int) -> None:
        """Raises `Unreachable` where Redis is away, and `Fenced`."""
        self._epoch = epoch
        now, known = self._ledger.bell.now(), self._ledger.pilots.states()
        state = known.engines.get(self._name) or EngineState(name=self._name)
        state = replace(state, kind=self._kind, min=self._rules.min, max=self._rules.max)
        mine = {key: pilot for key, pilot in known.pilots.items() if pilot.engine == self._name}
        keys = [key for key, pilot in mine.items() if pilot.state != "ended"]
        state, told = self._questions.ask(state, keys, now)
        mine |= self._adopted(told, mine, now)
        work = self._work_waiting()
        after = self._followed(mine, told, work, now, has_answered=state.away_since is None)
        state = self._learned(state, mine, after, now)
        wanted = plan(state, self._rules, list(after.values()), work, now, self._empty_at())
        state = replace(state, why_not=wanted.why_not)
        old = [key for key, p in after.items() if p.over_at is not None and now - p.over_at > KEPT_S]
        changed = [pilot for key, pilot in after.items() if pilot != known.pilots.get(key) and key not in old]
        if changed or old or state != known.engines.get(self._name):
            self._ledger.pilots.write(epoch, state, changed, old)
        for key, why in wanted.cancel.items():
            self._cancel(state, after[key], why, now)
        for _ in range(wanted.ask):
            state = self._ask_for_one(state, now)
            if state.backoff_until > now:
                break

    # ── what is known ─────────────────────────────────────────────────────────────────────────────────────

    def _adopted(
        self, told: Mapping[str, EngineJob], mine: Mapping[str, Pilot], now: float
    ) -> dict[str, Pilot]:
        """What the engine has of this project and nobody here remembers: the ledger was emptied."""
        return {
            key: Pilot(key=key, engine=self._name, state="placed", asked_at=now, job=job, told_at=now)
            for key, job in told.items()
            if key not in mine and job.state != "ended" and self._is_mine(key)
        }

    def _is_mine(self, key: str) -> bool:
        return key.startswith(self._prefix) and key.rsplit("-", 2)[-2] == self._name

    def _followed(
        self,
        mine: Mapping[str, Pilot],
        told: Mapping[str, EngineJob],
        work: WaitingWork,
        now: float,
        *,
        has_answered: bool,
    ) -> dict[str, Pilot]:
        nodes = {report.pilot: report for report in self._ledger.reports.live() if report.pilot}
        left = self._ledger.reports.left()
        busy = {reservation.node for reservation in self._ledger.handover.reservations()}
        return {
            key: follow(
                pilot,
                now,
                has_answered=has_answered,
                told=told.get(key),
                node=nodes.get(key),
                left_at=left.get(pilot.node),
                is_busy=pilot.node in busy,
                is_wanted=work.jobs > 0,
            )
            for key, pilot in mine.items()
        }

    def _learned(
        self, state: EngineState, before: Mapping[str, Pilot], after: Mapping[str, Pilot], now: float
    ) -> EngineState:
        """How long a start takes, and whether pilots live."""
        for key, pilot in after.items():
            if pilot.state == before[key].state:
                continue
            if pilot.state == "ended":
                state = self._ended(state, pilot, now)
            elif pilot.state == "lost":
                words = "Pilot {pilot} is lost: {why}"
                emit_event("pilot.lost", words, pilot=pilot.name, engine=self._name, why=pilot.words)
        starts = sorted((p.up_at, p.up_at - p.asked_at) for p in after.values() if p.up_at is not None)[
            -STARTS:
        ]
        if any(is_grown(pilot, now) for pilot in after.values()):
            state = replace(state, young=0, backoff_until=0.0)
        return replace(state, up_after_s=median([s for _, s in starts])) if starts else state

    def _ended(self, state: EngineState, pilot: Pilot, now: float) -> EngineState:
        young = state.young + 1 if is_young(pilot) else 0
        if young:
            emit_event("pilot.young", "Pilot {pilot} was of no use: {why}", pilot=pilot.name,
                       engine=self._name, why=pilot.words)  # fmt: skip
        else:
            emit_event("pilot.ended", "Pilot {pilot} has ended: {why}", pilot=pilot.name, engine=self._name,
                       why=pilot.words)  # fmt: skip
        return replace(state, young=young, backoff_until=now + backoff_s(young) if young else 0.0)

    def _work_waiting(self) -> WaitingWork:
        holds = self._ledger.gate_record.gates().holds
        candidates = self._ledger.waiting.candidates(Lookahead()) if holds else ()
        return waiting_work(holds, candidates, self._rules.shape, self._headroom)

    def _empty_at(self) -> float | None:
        forecasts: Sequence[float | None] = [
            each.ends_at for each in self._ledger.forecasts.forecasts() if each.ended_at is None
        ]
        known = [ends_at for ends_at in forecasts if ends_at is not None]
        return max(known) if known and len(known) == len(forecasts) else None

    # ── what is done ──────────────────────────────────────────────────────────────────────────────────────

    def _ask_for_one(self, state: EngineState, now: float) -> EngineState:
        number = state.last_number + 1
        generation = self._ledger.identity.generation() or ""
        pilot = Pilot(
            key=key_of(self._prefix, generation, self._name, number), engine=self._name, asked_at=now
        )
        state = replace(state, last_number=number)
        # Before the engine is asked: whoever comes after this process looks for it, and asks for no other.
        self._ledger.pilots.write(self._epoch, state, (pilot,))
        answer = self._engine.submit(pilot.key, self._submission(pilot))
        emit_event("pilot.asked", "Pilot {pilot} was asked for: {why}", pilot=pilot.name,
                   engine=self._name, why=answer.words or answer.outcome)  # fmt: skip
        if answer.outcome == "placed":
            job = EngineJob(state="pending", id=answer.id)
            pilot = replace(pilot, state="placed", job=job, told_at=now)
        elif answer.outcome == "refused":
            pilot = replace(pilot, state="ended", over_at=now, words=f"refused: {answer.words}")
            state = self._ended(state, pilot, now)
        else:
            pilot = replace(pilot, words=answer.words)
        self._ledger.pilots.write(self._epoch, state, (pilot,))
        return state

    def _cancel(self, state: EngineState, pilot: Pilot, why: str, now: float) -> None:
        """Written first, so that a node of it that comes up later is turned away."""
        after = "lost" if pilot.state == "lost" else "ending"
        pilot = replace(pilot, state=after, cancelled_at=now, words=why)
        self._ledger.pilots.write(self._epoch, state, (pilot,))
        try:
            self._engine.cancel(pilot.key)
        except Unreachable:
            return  # it is asked again
