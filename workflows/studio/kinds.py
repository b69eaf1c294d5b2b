"""The kinds of the studio's work: how urgent each is, and which counter says how many may go on at once."""

from __future__ import annotations

from conductor.base.files.layout import CodeSettings
from conductor.model.spec import Needs

#: How many of each kind go on at once, and how urgent they are: for a project's conductor.toml.
SETTINGS = """
[counters]
render.limit = 2
transcode.limit = 2
captions.limit = 1
preview.limit = 4

[priorities]
"media.compose" = 10
"media.master" = 10
"media.transcode" = 7
"media.captions" = 6
"media.preview" = 5
"media.stills" = 5
"media.quality" = 4
"""
#: Without settings: what a person waits for comes first.
PRIORITIES = {"render": 10, "transcode": 7, "captions": 6, "preview": 5, "quality": 4}


def needs_of(kind: str, settings: CodeSettings, *, ram_mib: int, cpu: float = 1, vram_mib: int = 0) -> Needs:
    """One of those that may go on at once, where conductor.toml has `[counters.KIND]`."""
    return Needs(
        cpu=cpu,
        ram_mib=ram_mib,
        vram_mib=vram_mib,
        counters={kind: 1} if kind in settings.counters else {},
    )
