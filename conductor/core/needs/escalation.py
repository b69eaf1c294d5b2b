"""What the next attempt asks for after one that ran out of memory or space. Pure; the line itself never
changes.

The raised needs make another class of the job's, by the same rule as every class: `placed` names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from conductor.core.needs.learned_amounts import LEARNED, RAN_OUT_OF, RESERVED, Largest, LearnedAmount
from conductor.model.causes import Cause
from conductor.model.job_class import JobClass, named
from conductor.model.receipt import Usage
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs

#: Above the measured peak: the allocation that failed is not in it.
MARGIN = 1.25
#: Above what was asked, where the peak is not known or was below it.
BLIND_MARGIN = 1.5


class Raised(NamedTuple):
    """The class of the next attempt, or why there can be none."""

    job_class: JobClass | None = None
    hopeless: str = ""


def raised(
    cause: Cause,
    job_class: JobClass,
    usage: Usage,
    largest: Largest,
    kind_mib: int = 0,
    is_crowded: bool = False,
) -> Raised:
    """What a failed attempt teaches about the job's needs. Neither field set: nothing.

    Of VRAM: `kind_mib` is what others of its kind hold; 0: not known. `is_crowded`: others on its device held
    more than their word, so that its own peak says little: next it has a device to itself.
    """
    row = RAN_OUT_OF.get(cause)
    if row is None:
        return Raised()
    asked, peak = row.declared(job_class.needs, sum(job_class.writes.values())), row.peak(usage)
    limit = largest.get(row.name)
    wanted = _wanted(row, asked, peak)
    if row.name == "vram_mib":
        if kind_mib > asked:
            wanted = max(wanted, row.rounded_raised(kind_mib * MARGIN))
        elif is_crowded and limit is not None:
            wanted = max(wanted, limit)
    if limit is not None and wanted > limit:
        if asked >= limit and not row.has_files:
            return Raised(hopeless=_never(row, limit, peak))
        wanted = max(asked, limit)
    if wanted <= asked:
        return Raised()
    return Raised(job_class=placed(job_class, _with(job_class, row, wanted)))


def _wanted(row: LearnedAmount, asked: int, peak: int | None) -> int:
    if peak is not None and peak > asked:
        # A full disk is most often full of other things: only what was measured beyond the request is asked
        # for.
        return row.rounded_raised(peak if row.has_files else peak * MARGIN)
    return asked if row.has_files else row.rounded_raised(asked * BLIND_MARGIN)


def as_reserved(job_class: JobClass, reservation: Reservation) -> JobClass:
    """With what was reserved where that was more than the class asks: such a need was learned
    (`core.needs.estimates`), and the attempt ran out of it.
    """
    return with_at_least(job_class, {row.name: getattr(reservation, row.name) for row in RESERVED})


def with_at_least(job_class: JobClass, amounts: Mapping[str, int]) -> JobClass:
    """With so much of each, or with what it asks where that is more."""
    needs = job_class.needs
    most = {name: max(getattr(needs, name), amount) for name, amount in amounts.items()}
    return with_needs(job_class, msgspec.structs.replace(needs, **most))


def with_needs(job_class: JobClass, needs: Needs) -> JobClass:
    """Other needs; what its jobs' lines ask is kept."""
    if needs == job_class.needs:
        return job_class
    planned = job_class.planned or job_class.needs
    return msgspec.structs.replace(job_class, needs=needs, planned=None if needs == planned else planned)


def placed(job_class: JobClass, needs: Needs) -> JobClass:
    """The class of the same jobs with other needs."""
    return named(with_needs(job_class, needs))


def as_planned(job_class: JobClass) -> JobClass:
    """The class that its jobs were dispatched into, before any failure taught."""
    return job_class if job_class.planned is None else placed(job_class, job_class.planned)


def differences(own: Needs, now: Needs, causes: Iterable[Cause]) -> list[str]:
    """«asks 14.2 GiB of VRAM instead of 10.0 GiB», for what failures of these causes raised above the
    line's own.
    """
    found: list[str] = []
    for row in dict.fromkeys(RAN_OUT_OF[cause] for cause in causes if cause in RAN_OUT_OF):
        before, after = getattr(own, row.name), getattr(now, row.name)
        if after > before:
            instead = f" instead of {row.shown(before)}" if before else ""
            found.append(f"asks {row.shown(after)} of {row.words}{instead}")
    return found


def instead(declared: Needs, now: Needs) -> list[str]:
    """«asks 1.2 GiB of VRAM instead of 4.0 GiB», for every amount that differs."""
    found: list[str] = []
    for row in LEARNED:
        before, after = getattr(declared, row.name), getattr(now, row.name)
        if before != after:
            found.append(f"asks {row.shown(after)} of {row.words} instead of {row.shown(before)}")
    return found


def _with(job_class: JobClass, row: LearnedAmount, wanted: int) -> Needs:
    if row.has_files:
        wanted -= sum(job_class.writes.values())
    return msgspec.structs.replace(job_class.needs, **{row.name: wanted})


def _never(row: LearnedAmount, limit: int, peak: int | None) -> str:
    seen = "" if peak is None else f" (measured: {row.shown(peak)})"
    return f"it had all that the largest {row.place} has to give, {row.shown(limit)} of {row.words}{seen}"
