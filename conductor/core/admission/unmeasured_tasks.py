"""Kinds of which no receipt tells yet: few begin on a device until the first has shown what it holds. Pure.

Forty jobs that say 500 MiB and take 5,000 would begin together, before anything of them can be measured. So
one of such a kind begins on a device; each that has shown what it holds lets one more begin, until the first
receipt is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.needs.running_usage import HeldOn
from conductor.core.placement.place import Place
from conductor.model.decision import Verdict
from conductor.model.reason import Detail, Reason
from conductor.model.snapshot import Candidate, JobClass, Reservation, Snapshot

#: What a body holds is taken for its word once it was measured so long after its start: models are loaded by
#: then.
TOLD_S = 2.0
#: A body of which nothing is measured (it loads for long, or the driver does not tell) keeps others back no
#: longer.
LONGEST_S = 10.0


class Untried:
    """For one tick; told of every admission."""

    def __init__(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> None:
        self._kinds = {
            _kind(c.job_class) for c in candidates if c.job_class.is_untried and c.job_class.needs.vram_mib
        }
        #: Of each kind: how many have shown what they hold; who has not, by node and device.
        self._told: dict[str, int] = {}
        self._untold: dict[tuple[str, str, str], list[str]] = {}
        if not self._kinds:
            return
        held = HeldOn(snapshot.nodes)
        for r in snapshot.reservations:
            if _kind(r) in self._kinds and r.devices:
                self._note(r, held)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def has(self, job_class: JobClass) -> bool:
        return job_class.is_untried and _kind(job_class) in self._kinds

    def denies(self, job_class: JobClass, place: Place) -> Verdict | None:
        """Why it may not begin there now; None where it may."""
        kind = _kind(job_class)
        if not self.has(job_class):
            return None
        most = max(1, self._told.get(kind, 0))
        for device in place.devices:
            going = self._untold.get((kind, place.node.name, device.key), ())
            if len(going) >= most:
                return _no(job_class, f"{place.node.name}/{device.key}", going, most)
        return None

    def closings(self, job_class: JobClass) -> list[Verdict]:
        """The devices on which it may not begin now, whatever is free there."""
        if not self.has(job_class):
            return []
        of, most = _kind(job_class), max(1, self._told.get(_kind(job_class), 0))
        return [
            _no(job_class, f"{node}/{key}", going, most)
            for (kind, node, key), going in self._untold.items()
            if kind == of and len(going) >= most
        ]

    def took(self, r: Reservation) -> None:
        if _kind(r) in self._kinds:
            self._add(r)

    def _note(self, r: Reservation, held: HeldOn) -> None:
        if has_told(r, held):
            self._told[_kind(r)] = self._told.get(_kind(r), 0) + 1
        else:
            self._add(r)

    def _add(self, r: Reservation) -> None:
        for key in r.devices:
            self._untold.setdefault((_kind(r), r.node, key), []).append(r.job_id)


def has_told(r: Reservation, held: HeldOn) -> bool:
    """A report tells of it that is some seconds younger than its start: an earlier measurement does not show
    what it needs."""
    read_at = held.read_at(r)
    if r.state != "running" or r.started_at is None or read_at is None:
        return False
    shown_s = read_at - r.started_at
    return shown_s >= LONGEST_S or (shown_s >= TOLD_S and held.mib(r) > 0)


def _kind(of: JobClass | Reservation) -> str:
    return of.kind or of.task


def _no(job_class: JobClass, where: str, going: Sequence[str], most: int) -> Verdict:
    return Verdict(
        gate="hold",
        passed=False,
        reason=Reason.UNTRIED,
        where=where,
        holders=tuple(going),
        detail=Detail(kind=_kind(job_class), most=most),
    )
