"""Figures of a night out of its receipts: by task, by task and cause, by device, expected against
real. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from msgspec.structs import replace

from conductor.core.failures.retry import TABLE
from conductor.model.causes import Cause
from conductor.model.receipt import Receipt
from conductor.views.night.document import (
    DeviceFigures,
    PredictedTask,
    RetryFigures,
    TaskFigures,
)
from conductor.views.night.fates import JobFates, added
from conductor.views.night.record import NightRecord

#: The night is drawn in so many parts.
PARTS = 48
TimeSpan = tuple[float, float]


def tasks_of(record: NightRecord, fates: JobFates) -> tuple[TaskFigures, ...]:
    jobs: dict[str, Counter[str]] = defaultdict(Counter)
    for job_id, fate in fates.of.items():
        jobs[record.lines[job_id].task]["done" if fate.state == "done" else "not_done"] += 1
    took: dict[str, list[float]] = defaultdict(list)
    for receipt in record.in_night():
        took[receipt.task].append(receipt.seconds)
    made: dict[str, list[int]] = defaultdict(list)
    for _, receipt in record.done():
        made[receipt.task] += [fact.bytes for fact in receipt.outputs]
    return tuple(
        TaskFigures(
            task=task,
            done=jobs[task]["done"],
            not_done=jobs[task]["not_done"],
            attempts=len(took[task]),
            seconds=added(took[task]),
            outputs=len(made[task]),
            bytes=sum(made[task]),
        )
        for task in sorted({*jobs, *took})
    )


# ── retries ───────────────────────────────────────────────────────────────────────────────────────────────


def retries_of(record: NightRecord, fates: JobFates) -> tuple[RetryFigures, ...]:
    """Of jobs with a failed attempt in this night: what trying again was worth, those that cost
    most first."""
    groups: dict[tuple[str, Cause], dict[str, list[Receipt]]] = defaultdict(dict)
    for job_id, attempts in record.attempts.items():
        for receipt in attempts.failed:
            if receipt.ended_at >= record.since:
                key = receipt.task, receipt.cause or "task_error"
                groups[key].setdefault(job_id, []).append(receipt)
    rows = [_retries(task, cause, jobs, record, fates) for (task, cause), jobs in groups.items()]
    rows = [replace(row, advice=_advice(row)) for row in rows]
    return tuple(sorted(rows, key=lambda row: (-row.seconds, row.task, row.cause)))


def _retries(
    task: str, cause: Cause, jobs: Mapping[str, Sequence[Receipt]], record: NightRecord, fates: JobFates
) -> RetryFigures:
    ended = {job_id: fates.of[job_id].state for job_id in jobs}
    recovered = [job_id for job_id, state in ended.items() if state == "done"]
    failed = [receipt for theirs in jobs.values() for receipt in theirs]
    paid = {job_id: sum(not receipt.is_free for receipt in theirs) for job_id, theirs in jobs.items()}
    over = sum(state in ("dead", "cancelled") for state in ended.values())
    budgets = {record.lines[job_id].retry.get(cause, TABLE[cause].budget) for job_id in jobs}
    return RetryFigures(
        task=task,
        cause=cause,
        failed=len(failed),
        free=sum(receipt.is_free for receipt in failed),
        jobs=len(jobs),
        recovered=len(recovered),
        dead=over,
        open=len(jobs) - len(recovered) - over,
        seconds=added(receipt.seconds for receipt in failed),
        most_to_recover=max((paid[job_id] for job_id in recovered), default=0),
        budget=None if None in budgets else max(budget for budget in budgets if budget is not None),
    )


def _advice(row: RetryFigures) -> str:
    """Of few jobs nothing is concluded."""
    if row.budget == 0 or row.failed == row.free or row.jobs < 3:
        return ""
    if not row.recovered and row.dead:
        saved = f"{row.failed - row.jobs} attempts"
        return f"no job recovered: with `retry = {{{row.cause}: 0}}` in its task or line {saved} were saved"
    if row.budget is not None and row.most_to_recover < row.budget and row.dead:
        tries = "1 retry" if row.most_to_recover == 1 else f"{row.most_to_recover} retries"
        return f"who recovered needed {tries} at most, {row.budget} are granted"
    if row.budget is not None and row.recovered and row.most_to_recover >= row.budget and row.dead:
        return f"some recovered at the last of {row.budget} retries: one more may save others"
    return ""


# ── devices ───────────────────────────────────────────────────────────────────────────────────────────────


def devices_of(record: NightRecord, begins: float, ends: float) -> tuple[DeviceFigures, ...]:
    """Every device that an attempt ran on, and for each node what ran on none. A job on two counts
    on both."""
    places: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for receipt in record.in_night():
        for device in receipt.devices or ("",):
            places[receipt.node, device].append(receipt)
    return tuple(
        _device(node, device, found, begins, ends) for (node, device), found in sorted(places.items())
    )


def _device(node: str, device: str, found: Sequence[Receipt], begins: float, ends: float) -> DeviceFigures:
    spans = [(max(begins, r.started_at), min(ends, r.ended_at)) for r in found]
    busy = joined(spans)
    peaks = [r.usage.vram_on.get(device, r.usage.vram_mib) for r in found] if device else []
    return DeviceFigures(
        node=node,
        device=device,
        jobs=len({r.job_id for r in found}),
        busy_s=added(until - at for at, until in busy),
        failed_s=added(r.seconds for r in found if r.outcome == "failed"),
        peak_mib=max((peak for peak in peaks if peak is not None), default=None),
        strip=strip(busy, begins, ends),
    )


def joined(spans: Iterable[TimeSpan]) -> list[TimeSpan]:
    """The same time once, whoever took it."""
    found: list[TimeSpan] = []
    for begins, ends in sorted(span for span in spans if span[1] > span[0]):
        if found and begins <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ends)
        else:
            found.append((begins, ends))
    return found


def strip(spans: Iterable[TimeSpan], begins: float, ends: float) -> tuple[int, ...]:
    """Of each part of the time how much the spans, which do not overlap, take of it, in percent."""
    step = (ends - begins) / PARTS
    if step <= 0:
        return ()
    taken = [0.0] * PARTS
    for at, until in spans:
        first = min(PARTS - 1, max(0, int((at - begins) / step)))
        last = min(PARTS - 1, max(0, int((until - begins) / step)))
        for part in range(first, last + 1):
            edge = begins + part * step
            taken[part] += max(0.0, min(until, edge + step) - max(at, edge))
    return tuple(min(100, round(100 * each / step)) for each in taken)


# ── expected against real ─────────────────────────────────────────────────────────────────────────────────


def predicted_of(record: NightRecord) -> tuple[PredictedTask, ...]:
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _, receipt in record.done():
        if receipt.asked is not None and receipt.asked.duration_s > 0:
            pairs[receipt.task].append((receipt.asked.duration_s, receipt.seconds))
    return tuple(
        PredictedTask(
            task=task,
            jobs=len(found),
            expected_s=added(expected for expected, _ in found),
            took_s=added(took for _, took in found),
            median_off=round(median(abs(expected - took) / max(took, 0.001) for expected, took in found), 3),
        )
        for task, found in sorted(pairs.items())
    )
