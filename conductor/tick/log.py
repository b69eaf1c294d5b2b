"""What the conductor says of its ticks: what it fed, what it held and why. One line when a reason changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

from conductor.base.errors import Unreachable
from conductor.base.hours import about
from conductor.base.logs.events import emit_event
from conductor.base.text import many
from conductor.core.admission.earliest_start import is_never
from conductor.core.admission.explain import describe, jobs_named, leading
from conductor.model.decision import Admission, Gate, Hold, Verdict
from conductor.model.reason import Reason
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.subject import SHORT_ID, FileNames, named, with_subjects
from conductor.tick.apply import Applied
from conductor.tick.come_and_gone import GateOpenings, NodesSeen

#: The same reason is worth a new line when it had been gone for so long.
QUIET_S = 60.0
#: So many reasons of one task are remembered; the one not seen for longest goes.
MOST_REASONS = 32
#: More jobs of one task, fed by one tick to one place, or to all places together, share a line.
APART, MOST_APART = 8, 32
NUMBER = re.compile(r"[\d.]+( [KMGT]?i?B\b)?")

ReadLines = Callable[[Sequence[str]], Mapping[str, bytes]]

#: Of a held class: what is the same from tick to tick while nothing but numbers, places, times and the jobs
#: in the way change. Somebody else's words are compared without their numbers.
Same = tuple[Gate, Reason, str, str]


def same_of(verdict: Verdict) -> Same:
    where = verdict.where if verdict.gate == "rate" else ""
    return verdict.gate, verdict.reason, where, NUMBER.sub("#", verdict.detail.words)


def grouped(fed: Sequence[Admission]) -> Iterator[tuple[str, list[Reservation]]]:
    """(place, what was fed there of one task), in order. What is spread over a fleet is one group."""
    tasks: dict[tuple[str, str], dict[str, list[Reservation]]] = {}
    for admission in fed:
        r = admission.reservation
        places = tasks.setdefault((r.lane, r.task), {})
        places.setdefault("/".join((r.node, *r.devices)), []).append(r)
    for places in tasks.values():
        if len(places) > 1 and sum(map(len, places.values())) > MOST_APART:
            first, others = next(iter(places)), many(len(places) - 1, "other place")
            yield f"{first} and {others}", list(chain.from_iterable(places.values()))
        else:
            yield from places.items()


def _unread(ids: Sequence[str]) -> dict[str, bytes]:
    return {}


class TickLog:
    def __init__(self, lines: ReadLines = _unread) -> None:
        """`lines`: of some jobs, to name the files that they are about."""
        self._lines = lines
        #: (lane, task) → its reason when it was last held, and when that was.
        self._reasons: dict[tuple[str, str], dict[Same, float]] = {}
        self._never: set[str] = set()
        self._openings = GateOpenings()
        self._nodes = NodesSeen()

    def nodes(self, nodes: Sequence[NodeReport]) -> None:
        self._nodes.look(nodes)

    def applied(self, applied: Applied) -> None:
        apart: list[tuple[str, Reservation]] = []
        for place, fed in grouped(applied.fed):
            if len(fed) > APART:
                # Of short jobs a thousand a second are fed: a line for each cost more than to decide it.
                emit_event("jobs.admitted", "Fed {lane} {task}: {} → {place}", many(len(fed), "job"),
                           lane=fed[0].lane, task=fed[0].task, place=place, jobs=len(fed),
                           job_ids=[r.job_id for r in fed])  # fmt: skip
            else:
                apart += [(place, r) for r in fed]
        files = self._files([r for _, r in apart])
        for place, r in apart:
            emit_event("job.admitted", "Fed {lane} {about} ({}) → {place}", r.job_id[:SHORT_ID],
                       about=named(r.task, files.get(r.job_id, "")), lane=r.lane, task=r.task, place=place,
                       job_id=r.job_id, attempt=r.attempt)  # fmt: skip
        files = self._files([admission.reservation for admission, _ in applied.refused])
        for admission, why_not in applied.refused:
            self._refused(admission, files.get(admission.reservation.job_id, ""), why_not)
        for kind, count in applied.reviewed.items():
            if count:
                words = "Into review: {} of {kind}; `conductor status` says why"
                emit_event("kind.reviewed", words, many(count, "job"), kind=kind, jobs=count)

    def _files(self, fed: Sequence[Reservation]) -> dict[str, str]:
        """Where Redis went away since they were handed over, they are named by their tasks."""
        if fed:
            with suppress(Unreachable):
                return FileNames(self._lines).of(r.job_id for r in fed)
        return {}

    def _called(self, hold: Hold, why: str) -> str:
        """With the jobs that it names called by what they are about."""
        ids = jobs_named(hold)
        with suppress(Unreachable):
            return with_subjects(why, FileNames(self._lines).subjects((), ids)[1]) if ids else why
        return why

    def _refused(self, admission: Admission, file: str, why_not: str) -> None:
        r = admission.reservation
        emit_event("job.not_admitted", "Not fed {lane} {about} ({}): {why}", r.job_id[:SHORT_ID], lane=r.lane,
                   task=r.task, about=named(r.task, file), job_id=r.job_id, attempt=r.attempt,
                   why=why_not)  # fmt: skip

    def held(self, holds: Sequence[Hold], now: float) -> None:
        # Classes that ask alike share one tuple of verdicts: looked through once.
        alike: dict[int, tuple[Verdict, Same] | None] = {}
        for hold in holds:
            key = id(hold.verdicts)
            if key not in alike:
                verdict = leading(hold)
                alike[key] = None if verdict is None else (verdict, same_of(verdict))
            if (known := alike[key]) is None:
                continue
            verdict, same = known
            if is_never(hold, now):
                self._can_never(hold, verdict, now)
                continue
            self._never.discard(hold.class_id)
            if verdict.gate != "lane":
                self._openings.holds(verdict.gate, hold.lane, hold.task, now)
            if self._is_news(hold, same, now):
                why = self._called(hold, describe(verdict, now, about(now)))
                if verdict.gate == "lane":
                    # The normal state of a lane at work, and no news.
                    emit_event("lane.full", "Held {lane}: {why}", lane=hold.lane, task=hold.task,
                               gate=verdict.gate, reason=verdict.reason.value, waiting=hold.waiting,
                               why=why)  # fmt: skip
                else:
                    emit_event("gate.closed", "Held {lane}: {why}", lane=hold.lane, task=hold.task,
                               gate=verdict.gate, reason=verdict.reason.value, waiting=hold.waiting,
                               why=why)  # fmt: skip
        self._openings.look(now)

    def _is_news(self, hold: Hold, same: Same, now: float) -> bool:
        reasons = self._reasons.setdefault((hold.lane, hold.task), {})
        last = reasons.pop(same, None)
        reasons[same] = now
        if len(reasons) > MOST_REASONS:
            del reasons[next(iter(reasons))]
        return last is None or now - last > QUIET_S

    def _can_never(self, hold: Hold, verdict: Verdict, now: float) -> None:
        if hold.class_id in self._never:
            return
        self._never.add(hold.class_id)
        never = min(
            (v for v in hold.closed if v.is_never or v.is_crowded), key=lambda v: -v.limit, default=verdict
        )
        beside = "" if hold.is_infeasible else " while others use so much"
        why = self._called(hold, describe(never, now, about(now)))
        emit_event("class.infeasible", "{} of {task} can never run here{}: {why}", many(hold.waiting, "job"),
                   beside, lane=hold.lane, task=hold.task, gate=never.gate, reason=never.reason.value,
                   waiting=hold.waiting, why=why)  # fmt: skip
