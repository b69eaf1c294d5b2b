"""How much of what waits one more pilot would do: by what holds it, and by what a pilot brings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from conductor.core.capacity.resources import NODE
from conductor.model.decision import Gate, Hold
from conductor.model.pilot import PilotShape
from conductor.model.reason import Reason
from conductor.model.snapshot import Candidate, JobClass
from conductor.model.spec import Value

#: A job of which nobody knows how long it takes.
USUAL_S = 60.0
#: Another host opens these. Whatever else is closed stays closed there.
OPENED: frozenset[Gate] = frozenset({"report", "lane", "vram", *(row.name for row in NODE)})
#: Of the gate `hold`: one place is closed, and another one need not be.
OF_A_PLACE = frozenset(
    {
        Reason.NODE_DRAINING, Reason.NODE_ENDS, Reason.OBSTRUCTED, Reason.DEVICE_QUARANTINED,
        Reason.DEVICE_PAUSED, Reason.DEVICE_MISSING,
    }
)  # fmt: skip


class WaitingWork(Value, frozen=True, kw_only=True):
    jobs: int = 0
    #: What one pilot would take for all of it.
    pilot_s: float = 0.0
    #: Part of it can run on no host that is there.
    is_stranded: bool = False


def waiting_work(
    holds: Iterable[Hold], candidates: Sequence[Candidate], shape: PilotShape, headroom: Mapping[str, int]
) -> WaitingWork:
    """`headroom`: what is never given out of a host, in MiB: `vram`, `ram`."""
    classes = {candidate.job_class.id: candidate.job_class for candidate in candidates}
    jobs, pilot_s, is_stranded = 0, 0.0, False
    for hold in holds:
        job_class = classes.get(hold.class_id)
        if job_class is None or not is_for_another_host(hold):
            continue
        if at_once := jobs_at_once(job_class, shape, headroom):
            jobs += hold.waiting
            pilot_s += hold.waiting * (job_class.duration_s or USUAL_S) / at_once
            is_stranded = is_stranded or hold.is_infeasible or has_no_host(hold)
    return WaitingWork(jobs=jobs, pilot_s=pilot_s, is_stranded=is_stranded)


def is_for_another_host(hold: Hold) -> bool:
    """All that keeps it back is what another host would bring."""
    return all(v.gate in OPENED or v.reason in OF_A_PLACE for v in hold.closed)


def has_no_host(hold: Hold) -> bool:
    return any(v.gate == "report" for v in hold.closed)


def jobs_at_once(job_class: JobClass, shape: PilotShape, headroom: Mapping[str, int]) -> int:
    """How many of a class run side by side on one such host; 0: none ever does."""
    needs = job_class.needs
    if job_class.lane not in shape.lanes or job_class.duration_s >= shape.time_s:
        return 0
    at_once = [shape.cpus / needs.cpu] if needs.cpu else []
    if needs.ram_mib:
        at_once.append((shape.ram_mib - headroom.get("ram", 0)) / needs.ram_mib)
    if needs.vram_mib:
        each = (shape.vram_mib - headroom.get("vram", 0)) // needs.vram_mib
        at_once.append(shape.devices * each / needs.devices if each > 0 else 0)
    if job_class.lane == "gpu" and not shape.devices:
        return 0
    return int(min([*at_once, float(shape.cpus)]))
