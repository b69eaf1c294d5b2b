"""Engines, their pilots and the jobs that they run one by one, as rows and sentences. Pure: the same values
give the same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from conductor.base.text import duration, many, printable
from conductor.core.pilots.waiting_work import is_for_another_host
from conductor.model.decision import Hold
from conductor.model.engine import EngineJob
from conductor.model.job_submission import JobSubmission
from conductor.model.pilot import EngineState, Pilot, PilotStates
from conductor.model.snapshot import Reservation
from conductor.model.spec import Value
from conductor.model.subject import SHORT_ID
from conductor.views.staleness import clock

#: How an engine is called by its kind.
KINDS = {
    "local": "this host",
    "slurm": "Slurm",
    "ray": "Ray",
    "kubernetes": "Kubernetes",
    "hyperqueue": "HyperQueue",
}
SHOWN_PILOTS = 12
SUBMITTED = {"asking": "unknown", "placed": "placed", "over": "leaving"}


class PilotRow(Value, frozen=True, kw_only=True):
    """A pilot that is not over. `node`: the name that its node has once it is up."""

    name: str
    node: str
    words: str


class EngineJobRow(Value, frozen=True, kw_only=True):
    """A job that an engine runs by itself. `name`: for people."""

    name: str
    job_id: str
    attempt: int
    words: str


class EngineRow(Value, frozen=True, kw_only=True):
    """An engine, with a clause on how it stands. `is_away`: it does not answer."""

    name: str
    kind: str
    words: str
    is_away: bool = False
    pilots: tuple[PilotRow, ...] = ()
    jobs: tuple[EngineJobRow, ...] = ()


def engine_rows(
    engines: Iterable[EngineState],
    pilots: Iterable[Pilot],
    now: float,
    submissions: Iterable[JobSubmission] = (),
) -> tuple[EngineRow, ...]:
    there, jobs = [pilot for pilot in pilots if pilot.state != "ended"], list(submissions)
    return tuple(
        _row(
            engine,
            [pilot for pilot in there if pilot.engine == engine.name],
            [job for job in jobs if job.engine == engine.name],
            now,
        )
        for engine in engines
    )


def engine_lines(
    engines: Iterable[EngineState],
    pilots: Iterable[Pilot],
    now: float,
    submissions: Iterable[JobSubmission] = (),
) -> list[str]:
    """One for each engine, and one for each of its pilots and jobs that is not over."""
    out: list[str] = []
    for row in engine_rows(engines, pilots, now, submissions):
        out.append(f"engine {row.name} ({row.kind}): {row.words}")
        out += [f"  {one.name}: {one.words}" for one in (*row.pilots, *row.jobs)[:SHOWN_PILOTS]]
        for rows, thing in ((row.pilots, "more pilot"), (row.jobs, "more job")):
            if len(rows) > SHOWN_PILOTS:
                out.append(f"  … and {many(len(rows) - SHOWN_PILOTS, thing)}")
    return [printable(line) for line in out]


def _row(
    engine: EngineState, pilots: Sequence[Pilot], jobs: Sequence[JobSubmission], now: float
) -> EngineRow:
    live = sum(pilot.is_live for pilot in pilots) + sum(job.state != "over" for job in jobs)
    return EngineRow(
        name=engine.name,
        kind=KINDS.get(engine.kind, engine.kind),
        words=f"{live} of at most {engine.max} {engine.mode}{_fault(engine, now)}",
        is_away=engine.away_since is not None,
        jobs=tuple(
            EngineJobRow(
                name=f"{job.job_id[:SHORT_ID]} attempt {job.attempt}",
                job_id=job.job_id,
                attempt=job.attempt,
                words=submission_words(job, engine.kind, now),
            )
            for job in jobs
        ),
        pilots=tuple(
            PilotRow(name=each.name, node=each.node, words=pilot_words(each, engine.kind, now))
            for each in pilots
        ),
    )


def pilot_words(pilot: Pilot, kind: str, now: float) -> str:
    """«waits: Slurm says Resources, position 4, perhaps 02:40», «up, takes work until 06:00»."""
    if pilot.state == "asking":
        return f"nobody knows yet whether {KINDS.get(kind, kind)} has it ({pilot.words or 'no answer yet'})"
    if pilot.state in ("ending", "lost"):
        return f"{pilot.state}: {pilot.words}"
    if pilot.up_at is not None:
        until = "" if pilot.ends_at is None else f", takes work until {clock(pilot.ends_at, now)}"
        idle = "" if pilot.idle_since is None else f", idle for {duration(now - pilot.idle_since)}"
        return f"up{until}{idle}"
    if pilot.began_at is not None:
        return f"begins{'' if pilot.job is None or not pilot.job.host else f' on {pilot.job.host}'}"
    return f"waits: {_engine_words(pilot.job, kind, now)}"


def submission_words(job: JobSubmission, kind: str, now: float) -> str:
    """«waits: Slurm says Resources, position 4, perhaps 02:40», «begun on n3»."""
    if job.state == "over":
        return f"is to leave: {job.words}"
    if job.state == "asking":
        return f"nobody knows yet whether {KINDS.get(kind, kind)} has it ({job.words or 'no answer yet'})"
    if job.job is not None and job.job.state == "running":
        return f"begun{f' on {job.job.host}' if job.job.host else ''}"
    return f"waits: {_engine_words(job.job, kind, now)}"


def is_submitted(held: Reservation | None, states: PilotStates, now: float) -> Iterator[str]:
    """Of an attempt that an engine runs as a job of its own: how that stands there."""
    for job in states.submissions.values():
        if held is not None and (job.job_id, job.attempt) == (held.job_id, held.attempt):
            engine = states.engines.get(job.engine) or EngineState(name=job.engine)
            words = submission_words(job, engine.kind, now).removeprefix("waits: ")
            yield f"submitted to {job.engine}: {words}"


def waits_for_pilot(hold: Hold | None, states: PilotStates, now: float) -> Iterator[str]:
    """Of a class that another host would let in: what engines are asked for, or why no more is."""
    if hold is None or not hold.closed or not is_for_another_host(hold):
        return
    for engine in states.engines.values():
        first = next((p for p in states.pilots.values() if p.engine == engine.name and _is_coming(p)), None)
        if first is not None:
            words = pilot_words(first, engine.kind, now).removeprefix("waits: ")
            yield f"waits for a pilot: {words} ({first.name})"
        elif engine.why_not:
            yield f"no further pilot of {engine.name} is asked for: {engine.why_not}"


def submissions_by_state(submissions: Iterable[JobSubmission]) -> dict[tuple[str, ...], float]:
    """(engine, state) → jobs that it runs one by one."""
    counted = Counter[tuple[str, ...]]()
    for one in submissions:
        told = "" if one.state != "placed" or one.job is None else one.job.state
        counted[one.engine, told or SUBMITTED[one.state]] += 1
    return {key: float(count) for key, count in counted.items()}


def pilots_by_state(pilots: Iterable[Pilot]) -> dict[tuple[str, ...], float]:
    """(engine, state) → pilots; «up» and «pending» in place of «placed»."""
    counted = Counter[tuple[str, ...]]()
    for pilot in pilots:
        state = pilot.state
        if state != "ended":
            shown = ("up" if pilot.up_at is not None else "pending") if state == "placed" else state
            counted[pilot.engine, shown] += 1
    return {key: float(count) for key, count in counted.items()}


def _is_coming(pilot: Pilot) -> bool:
    return pilot.state in ("asking", "placed") and pilot.up_at is None


def _engine_words(job: EngineJob | None, kind: str, now: float) -> str:
    if job is None:
        return f"{KINDS.get(kind, kind)} has it"
    said = [f"{KINDS.get(kind, kind)} says {job.reason or 'nothing of why'}"]
    if job.position is not None:
        said.append(f"position {job.position}")
    if job.expected_at is not None and job.expected_at > now:
        said.append(f"perhaps {clock(job.expected_at, now)}")
    return ", ".join(said)


def _fault(engine: EngineState, now: float) -> str:
    if engine.away_since is not None:
        return f"; has not answered for {duration(now - engine.away_since)}: {engine.words}"
    is_asked = "are asked for" if engine.mode == "pilots" else "are given to it"
    return f"; no more {is_asked}: {engine.why_not}" if engine.why_not else ""
