"""What a reservation adds to which sum. The ledger keeps one integer per charge key and checks ceilings on
it.

Keys: `NODE/gpu0:vram_mib`, `NODE:ram_mib`, `NODE:cpu_milli`, `NODE/ROOT:bytes`. A ceiling may also be over
the sums of all roots on one file system, `NODE/ROOT+ROOT:bytes`.
"""

from __future__ import annotations

from conductor.core.capacity.resources import VRAM, charge_key, held_of_node
from conductor.model.snapshot import Reservation


def disk_key(node: str, *roots: str) -> str:
    """Of a ceiling: all `roots` that share a file system."""
    return f"{node}/{'+'.join(roots)}:bytes"


def is_of_disk(key: str) -> bool:
    return key.endswith(":bytes")


def sums_of(key: str) -> tuple[str, ...]:
    """The charge keys that a ceiling is over."""
    if not is_of_disk(key) or "+" not in key:
        return (key,)
    place, _, roots = key.removesuffix(":bytes").rpartition("/")
    return tuple(disk_key(place, root) for root in roots.split("+"))


def charges(reservation: Reservation) -> dict[str, int]:
    """Charge key → amount (MiB, milli-cores, bytes); only what is not zero."""
    r = reservation
    amounts = {charge_key(name, r.node): amount for name, amount in held_of_node(r) if amount > 0}
    # Most have nothing of the rest, and a tick asks of hundreds.
    if r.devices and r.vram_mib > 0:
        amounts |= {charge_key(VRAM, f"{r.node}/{device}"): r.vram_mib for device in r.devices}
    if r.held or r.disk:
        others = r.held | {disk_key(r.node, root): size for root, size in r.disk.items()}
        amounts |= {key: amount for key, amount in others.items() if amount > 0}
    return amounts
