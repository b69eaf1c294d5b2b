"""The kinds of the studio's work: how urgent each is, and which counter says how many may go on at once."""

from __future__ import annotations

from conductor.base.files.layout import CodeSettings
from conductor.model.spec import Needs

#: What a person waits for comes first. `[priorities]` of conductor.toml, by task, goes before it.
PRIORITIES = {"render": 10, "transcode": 7, "captions": 6, "preview": 5, "quality": 4}


def needs_of(kind: str, settings: CodeSettings, *, ram_mib: int, cpu: float = 1, vram_mib: int = 0) -> Needs:
    """One of those that may go on at once, where conductor.toml has `[counters.KIND]`."""
    return Needs(
        cpu=cpu,
        ram_mib=ram_mib,
        vram_mib=vram_mib,
        counters={kind: 1} if kind in settings.counters else {},
    )
