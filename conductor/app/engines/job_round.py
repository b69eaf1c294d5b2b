"""One look at an engine that runs jobs one by one: what was admitted for it is submitted, what became of the
rest is followed, and the ledger hears what it may still be given.

An attempt that was admitted here lies in the queue of a node that has no workers: whoever runs `conductor
exec` takes it from there, once. So nothing is doubled by an engine that starts a job twice, or late: the
second one finds that it is not its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from conductor.app.engines.engine_questions import EngineQuestions
from conductor.app.engines.job_submission import job_key_of, named_in
from conductor.base.errors import Unreachable
from conductor.base.logs.events import emit_event
from conductor.core.pilots.follow_job import JobStep, follow_job, has_failed
from conductor.core.pilots.plan import backoff_s
from conductor.core.pilots.refused_requests import in_force, refused, refuses_all, taken
from conductor.model.engine import EngineJob, Submission
from conductor.model.job_submission import ID_LETTERS, JobSubmission
from conductor.model.ledger_entries import JobView
from conductor.model.pilot import EngineState
from conductor.model.report import SingleJobs
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID, subject_of_line
from conductor.ports import Ledger
from conductor.ports.engine import Engine

#: At most so many are submitted in one look: each asks the engine some questions.
MOST_AT_ONCE = 16
#: What the engine has of ours and nobody here remembers is looked for so often.
ADOPT_EVERY_S = 30.0

Held = Mapping[tuple[str, int], Reservation]
#: Says what the engine is, as a node: closed by `why_not`, open where that is empty.
Report = Callable[[EngineState, float], None]


class JobRound:
    """Of one engine. `submission`: what it is given for an attempt; `prefix`: how its keys begin; `report`:
    published at each look, and where that has changed it."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        single: SingleJobs,
        ledger: Ledger,
        *,
        prefix: str,
        submission: Callable[[Reservation, JobView], Submission],
        report: Report,
        kind: str = "",
    ) -> None:
        self._name = name
        self._engine = engine
        self._single = single
        self._ledger = ledger
        self._prefix = prefix
        self._submission = submission
        self._report = report
        self._kind = kind
        self._questions = EngineQuestions(name, engine)
        self._adopted_at = 0.0
        self._epoch = 0

    def begin_anew(self) -> None:
        self._questions.begin_anew()

    def look(self, epoch: int) -> None:
        if not self._ledger.leadership.is_settled:
            return  # Who holds what is just what is not known.
        self._epoch = epoch
        now, known = self._ledger.bell.now(), self._ledger.pilots.states()
        state = known.engines.get(self._name) or EngineState(name=self._name)
        state = replace(state, kind=self._kind, mode="jobs", max=self._single.most)
        if why := self._twin():
            # What lies in that node's queues is the host's, and the report is, too.
            self._ledger.pilots.write_jobs(epoch, replace(state, why_not=why), ())
            return
        mine = {key: job for key, job in known.submissions.items() if job.engine == self._name}
        if now - self._adopted_at >= ADOPT_EVERY_S:
            self._questions.begin_anew()
            self._adopted_at = now
        state, told = self._questions.ask(state, list(mine), now)
        # After the engine: what it calls ended has said to the ledger all that it will say.
        held = self._held()
        mine |= self._adopted(told, mine, held, now)
        after, steps = self._followed(mine, told, held, now, has_answered=state.away_since is None)
        state = self._learned(state, after, steps, held, now)
        gone = [key for key, step in steps.items() if step == "forget"]
        changed = [job for key, job in after.items() if job != known.submissions.get(key) and key not in gone]
        if changed or gone or state != known.engines.get(self._name):
            self._ledger.pilots.write_jobs(epoch, state, changed, gone)
        for key, step in steps.items():
            self._carry_out(step, after[key])
        self._report(state, now)
        learned = self._submit_all(state, self._unasked(held, after.values()), now)
        if (learned.why_not, learned.refused) != (state.why_not, state.refused):
            self._report(learned, now)

    # ── what is known ─────────────────────────────────────────────────────────────────────────────────────

    def _twin(self) -> str:
        """A host of another conductor.toml has the name of this engine."""
        named = (r for r in self._ledger.reports.live() if r.node == self._name)
        host = next((report.host for report in named if report.single_jobs is None), "")
        return f"host {host} reports as node {self._name} too: one of both needs another name" if host else ""

    def _held(self) -> Held:
        reservations = self._ledger.handover.reservations()
        return {(r.job_id, r.attempt): r for r in reservations if r.node == self._name}

    def _adopted(
        self, told: Mapping[str, EngineJob], mine: Mapping[str, JobSubmission], held: Held, now: float
    ) -> dict[str, JobSubmission]:
        """What the engine has of this project and nobody here remembers: the ledger was emptied, or stepped
        back."""
        ids = {(job_id[:ID_LETTERS], attempt): job_id for job_id, attempt in held}
        found: dict[str, JobSubmission] = {}
        for key, job in told.items():
            named = named_in(key, self._prefix, self._name)
            if key not in mine and job.state != "ended" and named is not None:
                found[key] = JobSubmission(key=key, engine=self._name, job_id=ids.get(named, ""),
                                           attempt=named[1], state="placed", asked_at=now)  # fmt: skip
        return found

    def _followed(
        self,
        mine: Mapping[str, JobSubmission],
        told: Mapping[str, EngineJob],
        held: Held,
        now: float,
        *,
        has_answered: bool,
    ) -> tuple[dict[str, JobSubmission], dict[str, JobStep]]:
        after: dict[str, JobSubmission] = {}
        steps: dict[str, JobStep] = {}
        for key, job in mine.items():
            reservation = held.get((job.job_id, job.attempt))
            after[key], steps[key] = follow_job(
                job,
                now,
                has_answered=has_answered,
                told=told.get(key),
                held=None if reservation is None else reservation.state,
            )
        return after, steps

    def _learned(
        self,
        state: EngineState,
        after: Mapping[str, JobSubmission],
        steps: Mapping[str, JobStep],
        held: Held,
        now: float,
    ) -> EngineState:
        """Do jobs come to life there."""
        failed = [after[key] for key, step in steps.items() if step == "give back" and has_failed(after[key])]
        if failed:
            state = self._worse(state, failed[-1].words, now)
        elif state.young and any(reservation.state == "running" for reservation in held.values()):
            state = replace(state, young=0, backoff_until=0.0)
        return replace(state, why_not=self._why_not(state, now))

    def _worse(self, state: EngineState, words: str, now: float) -> EngineState:
        young = state.young + 1
        until = max(state.backoff_until, now + backoff_s(young))
        return replace(state, young=young, backoff_until=until, young_words=words)

    def _why_not(self, state: EngineState, now: float) -> str:
        if state.away_since is not None:
            return f"{self._name} does not answer ({state.words})"
        if state.backoff_until > now:
            last = "job" if state.young == 1 else f"{state.young} jobs"
            return f"the last {last} did not come to life there ({state.young_words})"
        return ""

    def _unasked(self, held: Held, jobs: Iterable[JobSubmission]) -> list[Reservation]:
        asked = {(job.job_id, job.attempt) for job in jobs}
        return [r for which, r in held.items() if r.state == "admitted" and which not in asked]

    # ── what is done ──────────────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, step: JobStep, job: JobSubmission) -> None:
        if step == "give back":
            self._give_back(job.job_id, job.attempt, job.words)
        elif step == "cancel":
            try:
                self._engine.cancel(job.key)
            except Unreachable:
                return  # it is asked again

    def _give_back(self, job_id: str, attempt: int, why: str) -> None:
        """Its number is used up: should the engine start it after all, it finds itself over."""
        if self._ledger.orphans.give_back(job_id, attempt):
            line = self._ledger.jobs.lines([job_id]).get(job_id, b"")
            emit_event("job.not_run", "Engine {engine} did not run {about} ({}): {why}; back to the backlog",
                       job_id[:SHORT_ID], job_id=job_id, about=subject_of_line(line, ""), engine=self._name,
                       why=why)  # fmt: skip

    def _submit_all(self, state: EngineState, unasked: Iterable[Reservation], now: float) -> EngineState:
        for number, reservation in enumerate(unasked):
            like = in_force(state, now).get(reservation.class_id)
            if why := state.why_not or (like and f"refused: {like.words}"):
                self._give_back(reservation.job_id, reservation.attempt, why)
            elif number < MOST_AT_ONCE:
                state = self._submit(state, reservation, now)
        return state

    def _submit(self, state: EngineState, held: Reservation, now: float) -> EngineState:
        view = self._ledger.jobs.job(held.job_id)
        if view is None:
            return state
        generation = self._ledger.identity.generation() or ""
        key = job_key_of(self._prefix, generation, self._name, held.job_id, held.attempt)
        job = JobSubmission(
            key=key, engine=self._name, job_id=held.job_id, attempt=held.attempt, asked_at=now
        )
        # Before the engine is asked: whoever comes after this process only looks for it.
        self._ledger.pilots.write_jobs(self._epoch, state, (job,))
        answer = self._engine.submit(key, self._submission(held, view))
        if answer.outcome == "placed":
            placed = EngineJob(state="pending", id=answer.id)
            job = replace(job, state="placed", job=placed, told_at=now)
            state = taken(state, held.class_id, now)
        elif answer.outcome == "refused":
            job = replace(job, state="over", over_at=now, words=f"refused: {answer.words}")
            state = refused(state, held.class_id, answer.words, now)
            if refuses_all(state):
                state = self._worse(state, job.words, now)
                state = replace(state, why_not=self._why_not(state, now))
        else:
            job = replace(job, words=answer.words)
        self._ledger.pilots.write_jobs(self._epoch, state, (job,))
        if answer.outcome == "refused":
            self._give_back(job.job_id, job.attempt, job.words)
        return state
