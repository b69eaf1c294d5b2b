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
    vram_claims: Iterable[VramClaim], devices: Sequence[Device], idle_s: float, now: float
) -> list[VramClaim]:
    """Idle workers that hold VRAM for longer than they should. `now`: epoch seconds."""
    by_key = {device.key: device for device in devices}
    found: list[VramClaim] = []
    for vram_claim in vram_claims:
        device = by_key.get(vram_claim.device)
        if device is None or vram_claim.reserved or not vram_claim.child or not vram_claim.job_id:
            continue
        is_told = device.ours is not None
        if is_told and not device.ours.get(vram_claim.worker, 0):  # pyright: ignore[reportOptionalMemberAccess]
            continue
        if now - vram_claim.since > (idle_s if is_told else min(idle_s, UNTOLD_S)):
            found.append(vram_claim)
    return found


def with_warm(queues: Iterable[QueueReport], vram_claims: Mapping[str, VramClaim]) -> tuple[QueueReport, ...]:
    """Each queue with what its workers keep warm; a child that is gone keeps nothing."""
    warm: dict[str, set[str]] = {}
    for vram_claim in vram_claims.values():
        if vram_claim.warm and started(vram_claim.child):
            warm.setdefault(vram_claim.queue, set()).update(vram_claim.warm)
    return tuple(replace(q, warm=tuple(sorted(warm[q.queue]))) if q.queue in warm else q for q in queues)
