"""Rules about the work itself: what fails, takes too long, waits for a person, costs too much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from conductor.base.text import duration, many
from conductor.core.admission.explain import describe
from conductor.core.admission.sentences import failures_words
from conductor.core.alerts.observations import Observations
from conductor.model.alerts import AlertFinding, AlertThresholds
from conductor.model.decision import Hold
from conductor.model.reason import Reason
from conductor.model.snapshot import Reservation
from conductor.model.subject import with_subjects

#: Answers that somebody gave on purpose, or that have a rule of their own: who waits for these is not stuck.
INTENDED = frozenset(
    {
        Reason.HELD_BACK,
        Reason.DRAINING,
        Reason.LANE_PAUSED,
        Reason.BACKLOG_PAUSED,
        Reason.LANE_OUTSIDE_HOURS,
        Reason.BACKLOG_OUTSIDE_HOURS,
        Reason.NODE_DRAINING,
        Reason.HOME_DRAINING,
        Reason.NODE_ENDS,
        Reason.DEVICE_PAUSED,
        Reason.OBSTRUCTED,
        Reason.REVIEW_DEBT,
        Reason.BREAKER_WAITS,
        Reason.BREAKER_TRIES,
        Reason.BREAKER_SPENT,
        Reason.COMES_AFTER,
        Reason.RATE_LIMITED,
        Reason.BUDGET_SHORT,
        Reason.MONEY_SPENT,
    }
)
SHOWN_FAULTS = 3


def failures(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    count = sum(seen.failed.values())
    if count > limits.failed_per_hour:
        causes = sorted(seen.failed.items(), key=lambda row: (-row[1], row[0]))
        by_cause = ", ".join(f"{cause} {n}" for cause, n in causes)
        words = f"{many(count, 'attempt')} failed within an hour ({by_cause}), more than "
        yield AlertFinding(words=f"{words}{limits.failed_per_hour}", figures={"failed": count})


def running_long(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    by_task: defaultdict[str, list[tuple[float, Reservation]]] = defaultdict(list)
    for held in seen.active:
        if held.state == "running" and held.frozen_since is None:
            elapsed = seen.now - (held.started_at or held.admitted_at) - held.frozen_s
            if elapsed > limits.running_s:
                by_task[held.task].append((elapsed, held))
    for task, those in sorted(by_task.items()):
        longest_s, held = max(those, key=lambda row: row[0])
        which = f"{many(len(those), 'job')} of {task} {'runs' if len(those) == 1 else 'run'}"
        longest = f"{seen.called(held.job_id, task)} for {duration(longest_s)}"
        words = f"{which} longer than {duration(limits.running_s)}; {longest}"
        figures = {"jobs": float(len(those)), "longest_s": longest_s}
        yield AlertFinding(subject=task, words=words, figures=figures)


def waiting_long(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    by_task: defaultdict[str, list[tuple[float, Hold]]] = defaultdict(list)
    for hold in seen.gates.holds:
        waited_s = seen.now - seen.heads.get(hold.head, seen.now)
        if waited_s > limits.waiting_s:
            by_task[hold.task].append((waited_s, hold))
    for task, those in sorted(by_task.items()):
        longest_s, hold = max(those, key=lambda row: row[0])
        words = f"{seen.called(hold.head, task)} has waited {duration(longest_s)}: {_why(hold, seen)}"
        yield AlertFinding(subject=task, words=words, figures={"longest_s": longest_s})


def nothing_admitted(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    """Work waits, nothing is in flight, and nobody wanted it so."""
    if seen.leader is None or seen.active or seen.controls.is_draining or not seen.nodes:
        return
    stuck = [h for h in seen.gates.holds if not any(v.reason in INTENDED for v in h.closed)]
    if stuck:
        waiting = sum(hold.waiting for hold in stuck)
        most = max(stuck, key=lambda hold: hold.waiting)
        waits = "waits" if waiting == 1 else "wait"
        words = f"{many(waiting, 'job')} {waits} and nothing runs; {most.task}: {_why(most, seen)}"
        yield AlertFinding(words=words, figures={"waiting": waiting})


def _why(hold: Hold, seen: Observations) -> str:
    if not hold.closed:
        return "every gate is open to it"
    return with_subjects(describe(hold.closed[0], seen.now), seen.subjects)


def breaker_open(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for kind in seen.kinds:
        if kind.opened_at is not None:
            words = failures_words(kind.kind, kind)
            figures = {"failed": float(kind.failed), "tries": float(kind.probes)}
            yield AlertFinding(subject=kind.kind, words=words, figures=figures)


def review_debt(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    count = sum(seen.in_review.values())
    if count > limits.review_jobs:
        where = ", ".join(f"{backlog} {n}" for backlog, n in sorted(seen.in_review.items()) if n)
        words = f"{many(count, 'job')} in review ({where}), more than {limits.review_jobs}"
        yield AlertFinding(words=words, figures={"review_jobs": count})


def budget_near(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for rate in seen.gates.rates:
        left, limit = rate.usd_left, rate.usd_limit
        if left is not None and limit and 0 < left <= limit * limits.budget_left_share:
            words = f"{left:.2f} of {limit:.2f} USD are left for {rate.key} today"
            yield AlertFinding(subject=rate.key, words=words, figures={"usd_left": left, "usd_limit": limit})


def budget_over(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for rate in seen.gates.rates:
        left, limit = rate.usd_left, rate.usd_limit
        if left is not None and limit and left <= 0:
            words = f"the {limit:.2f} USD of a day for {rate.key} are spent: its jobs wait"
            yield AlertFinding(subject=rate.key, words=words, figures={"usd_left": left, "usd_limit": limit})


def receipts_mismatch(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    if faults := seen.receipt_faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        words = f"receipts do not match: {'; '.join(faults[:SHOWN_FAULTS])}{more}"
        yield AlertFinding(words=words, figures={"faults": float(len(faults))})


def schedule_skipped(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for name, times in sorted(seen.skipped.items()):
        if times:
            words = f"the schedule {name} was skipped {many(times, 'time')} within an hour"
            yield AlertFinding(subject=name, words=words, figures={"skipped": float(times)})


def fallback_spike(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for task, count in sorted(seen.fallbacks.items()):
        if count > limits.fallbacks_per_hour:
            words = f"{many(count, 'attempt')} of {task} within an hour ran on another engine than was meant"
            yield AlertFinding(subject=task, words=words, figures={"fallbacks": float(count)})


def engine_fallback(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for task, (fallen, made) in sorted(seen.engines.items()):
        if made and fallen / made > limits.engine_fallback_share:
            words = (
                f"{fallen} of {many(made, 'job')} of {task} within an hour were made by a less preferred "
                f"engine, more than {limits.engine_fallback_share:.0%}"
            )
            yield AlertFinding(
                subject=task, words=words, figures={"fallen": float(fallen), "made": float(made)}
            )
