"""What workers keep between jobs: which of them have kept it long enough, and what the report says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from conductor.adapters.files.vram_claims import VramClaim
from conductor.model.report import Device, QueueReport
from conductor.node.health.quarantine import started

#: Where the driver does not tell who holds what, an idle worker's VRAM counts as a stranger's: it is not kept
#: long.
UNTOLD_S = 5.0


def to_end(
    badges: Iterable[VramClaim], devices: Sequence[Device], idle_s: float, now: float
) -> list[VramClaim]:
    """Idle workers that hold VRAM for longer than they should. `now`: epoch seconds."""
    by_key = {device.key: device for device in devices}
    found: list[VramClaim] = []
    for badge in badges:
        device = by_key.get(badge.device)
        if device is None or badge.reserved or not badge.child or not badge.job_id:
            continue
        is_told = device.ours is not None
        if is_told and not device.ours.get(badge.worker, 0):  # pyright: ignore[reportOptionalMemberAccess]
            continue
        if now - badge.since > (idle_s if is_told else min(idle_s, UNTOLD_S)):
            found.append(badge)
    return found


def with_warm(queues: Iterable[QueueReport], badges: Mapping[str, VramClaim]) -> tuple[QueueReport, ...]:
    """Each queue with what its workers keep warm; a child that is gone keeps nothing."""
    warm: dict[str, set[str]] = {}
    for badge in badges.values():
        if badge.warm and started(badge.child):
            warm.setdefault(badge.queue, set()).update(badge.warm)
    return tuple(replace(q, warm=tuple(sorted(warm[q.queue]))) if q.queue in warm else q for q in queues)
