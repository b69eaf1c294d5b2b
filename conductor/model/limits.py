"""Limits: what the operator allows, as the decision wants it. Built from the settings once per process."""

from __future__ import annotations

from msgspec import field

from conductor.model.spec import Lane, Value

DEFAULT_DEPTH: dict[Lane, int] = {"gpu": 2, "cpu": 2, "io": 2, "cloud": 5}


class Limits(Value, frozen=True, kw_only=True):
    """Depths, headrooms and the two times the decision goes by. Sizes as in the names."""

    #: Lane → a queue of it is fed while it holds fewer than this many.
    depth: dict[Lane, int] = field(default_factory=lambda: dict(DEFAULT_DEPTH))
    vram_headroom_mib: int = 512
    ram_headroom_mib: int = 1024
    #: Root → bytes kept free for everybody else; roots not named keep `default_disk_headroom_bytes`.
    disk_headroom_bytes: dict[str, int] = {}
    default_disk_headroom_bytes: int = 1 << 30
    #: Cores to hand out = this times what the node has.
    cpu_share: float = 1.0
    #: A report older than this is no report.
    report_ttl_s: float = 10.0
    tick_s: float = 1.0

    def disk_headroom(self, root: str) -> int:
        return self.disk_headroom_bytes.get(root, self.default_disk_headroom_bytes)
