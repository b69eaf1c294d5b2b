"""What the next attempt asks for after one that ran out of memory or space. Pure; the line itself never
changes.

The raised needs make another class of the job's, by the same rule as every class: `placed` names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from conductor.base.text import size
from conductor.core.capacity.request import SCRATCH_ROOT
from conductor.model.causes import Cause
from conductor.model.job_class import JobClass, named
from conductor.model.limits import Limits
from conductor.model.receipt import Usage
from conductor.model.report import NodeReport
from conductor.model.snapshot import Reservation
from conductor.model.spec import Needs

Resource = Literal["vram_mib", "ram_mib", "scratch_bytes"]

#: What each cause ran out of.
RAN_OUT_OF: dict[Cause, Resource] = {
    "cuda_oom": "vram_mib",
    "host_oom": "ram_mib",
    "no_space": "scratch_bytes",
}
WORDS: dict[Resource, str] = {"vram_mib": "VRAM", "ram_mib": "memory", "scratch_bytes": "scratch"}
#: Above the measured peak: the allocation that failed is not in it.
MARGIN = 1.25
#: Above what was asked, where the peak is not known or was below it.
BLIND_MARGIN = 1.5
#: Raised needs are rounded up to these, so that jobs with nearly the same peak share a class.
GRAIN: dict[Resource, int] = {"vram_mib": 256, "ram_mib": 256, "scratch_bytes": 64 << 20}


class Largest(NamedTuple):
    """What one place of the reporting nodes has at most, less its headroom. None: nobody reports it."""

    vram_mib: int | None = None
    ram_mib: int | None = None
    scratch_bytes: int | None = None


def largest(reports: Sequence[NodeReport], limits: Limits) -> Largest:
    """Over all nodes that report. Only what is known counts."""
    vram = [
        d.vram_total_mib - limits.vram_headroom_mib
        for node in reports
        for d in node.devices
        if not d.quarantined
    ]
    ram = [node.ram_total_mib - limits.ram_headroom_mib for node in reports if node.ram_total_mib is not None]
    volumes = [v for node in reports for v in node.volumes if v.root == SCRATCH_ROOT]
    disk = [v.total_bytes - limits.disk_headroom(v.root) for v in volumes if v.total_bytes is not None]
    return Largest(*(max(found, default=None) for found in (vram, ram, disk)))


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
    resource = RAN_OUT_OF.get(cause)
    if resource is None:
        return Raised()
    asked, peak = _asked(job_class, resource), _peak(usage, resource)
    if resource == "scratch_bytes":
        # A full disk is most often full of other things: only what was measured beyond the request is asked
        # for.
        wanted = _rounded(peak, resource) if peak is not None and peak > asked else asked
    elif peak is not None and peak > asked:
        wanted = _rounded(peak * MARGIN, resource)
    else:
        wanted = _rounded(asked * BLIND_MARGIN, resource)
    limit: int | None = getattr(largest, resource)
    if resource == "vram_mib":
        if kind_mib > asked:
            wanted = max(wanted, _rounded(kind_mib * MARGIN, resource))
        elif is_crowded and limit is not None:
            wanted = max(wanted, limit)
    if limit is not None and wanted > limit:
        if asked >= limit and resource != "scratch_bytes":
            return Raised(hopeless=_never(resource, limit, peak))
        wanted = max(asked, limit)
    if wanted <= asked:
        return Raised()
    return Raised(job_class=placed(job_class, _with(job_class, resource, wanted)))


def as_reserved(job_class: JobClass, reservation: Reservation) -> JobClass:
    """With what was reserved where that was more than the class asks: it was learned (`core.learned`), and
    ran out.
    """
    vram = max(job_class.needs.vram_mib, reservation.vram_mib)
    ram = max(job_class.needs.ram_mib, reservation.ram_mib)
    return with_needs(job_class, msgspec.structs.replace(job_class.needs, vram_mib=vram, ram_mib=ram))


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
    resources: list[Resource] = [RAN_OUT_OF[cause] for cause in causes if cause in RAN_OUT_OF]
    for resource in dict.fromkeys(resources):
        word = WORDS[resource]
        before, after = getattr(own, resource), getattr(now, resource)
        if after > before:
            instead = f" instead of {amount(resource, before)}" if before else ""
            found.append(f"asks {amount(resource, after)} of {word}{instead}")
    return found


def instead(declared: Needs, now: Needs) -> list[str]:
    """«asks 1.2 GiB of VRAM instead of 4.0 GiB», for every amount that differs."""
    found: list[str] = []
    for resource, word in WORDS.items():
        before, after = getattr(declared, resource), getattr(now, resource)
        if before != after:
            found.append(f"asks {amount(resource, after)} of {word} instead of {amount(resource, before)}")
    return found


def amount(resource: Resource, value: float) -> str:
    return size(value if resource == "scratch_bytes" else value * (1 << 20))


def _asked(job_class: JobClass, resource: Resource) -> int:
    """Of scratch: with the outputs, for these are measured with it."""
    own: int = getattr(job_class.needs, resource)
    return own + sum(job_class.writes.values()) if resource == "scratch_bytes" else own


def _peak(usage: Usage, resource: Resource) -> int | None:
    return {"vram_mib": usage.vram_mib, "ram_mib": usage.rss_mib, "scratch_bytes": usage.scratch_bytes}[
        resource
    ]


def _with(job_class: JobClass, resource: Resource, wanted: int) -> Needs:
    if resource == "scratch_bytes":
        wanted -= sum(job_class.writes.values())
    return msgspec.structs.replace(job_class.needs, **{resource: wanted})


def _rounded(value: float, resource: Resource) -> int:
    grain = GRAIN[resource]
    return -int(-value // grain) * grain


def _never(resource: Resource, limit: int, peak: int | None) -> str:
    place = "device" if resource == "vram_mib" else "node"
    seen = "" if peak is None else f" (measured: {amount(resource, peak)})"
    return (
        f"it had all that the largest {place} has to give, {amount(resource, limit)} of "
        f"{WORDS[resource]}{seen}"
    )
