"""Who else holds what on a device of this host, and how much of it is beyond its reservation: by the claims
of VRAM and the driver's list.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from conductor.adapters.files.vram_claims import VramClaims
from conductor.adapters.host import nvml_probe
from conductor.node.health.vram_owners import ours, owner_among


class DeviceSharers(NamedTuple):
    """On one device, MiB beyond what is reserved there: of this child, and of each other with an attempt in
    hand.

    None: the driver does not tell whose it is."""

    mine_mib: int | None = None
    mine: str = ""
    others_mib: dict[str, int] = {}

    @property
    def is_first_to_go(self) -> bool:
        """Of all that hold more than their word the one that holds most beyond it ends, and one at a time:
        the room it gives back may be enough. Where nothing is told each answers for itself."""
        if self.mine_mib is None:
            return True
        return all((mib, worker) <= (self.mine_mib, self.mine) for worker, mib in self.others_mib.items())

    @property
    def have_overrun(self) -> bool:
        return any(mib > 0 for mib in self.others_mib.values())


def rivals(folder: Path, key: str, child: int) -> DeviceSharers:
    """`folder`: of the vram_claims. `child`: the one that asks. Of bodies in hand only: what is warm gives
    way anyhow.
    """
    vram_claims = {
        name: vram_claim
        for name, vram_claim in VramClaims(folder).read().items()
        if vram_claim.child and vram_claim.reserved.get(key)
    }
    devices = nvml_probe.read([key]).devices
    held = (
        ours(devices[0].processes, owner_among({b.child: name for name, b in vram_claims.items()}))
        if devices
        else None
    )
    me = next((name for name, vram_claim in vram_claims.items() if vram_claim.child == child), "")
    if held is None or not me:
        return DeviceSharers()
    beyond = {name: held.get(name, 0) - vram_claim.reserved[key] for name, vram_claim in vram_claims.items()}
    return DeviceSharers(beyond.pop(me), me, beyond)
