"""Does memory come back after a job: what a child holds between jobs, against what it held at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor.base.settings.sections import Workers


class Leaks:
    """One child's readings. What it rightly keeps for the next jobs is no leak: each set of that has its
    own first.
    """

    def __init__(self, limits: Workers) -> None:
        self._limits = limits
        self._first: dict[tuple[str, tuple[str, ...]], int] = {}

    def look(self, rss_mib: int | None, vram_mib: int | None, warm: tuple[str, ...]) -> str:
        """After each job; why the child should be replaced, or nothing. None: could not be read."""
        rss = self._grown("rss", rss_mib, warm)
        if rss > self._limits.leak_rss_mib:
            return f"its memory is {rss} MiB above what it was at first (workers.leak_rss_mib)"
        vram = self._grown("vram", vram_mib, warm)
        if vram > self._limits.leak_vram_mib:
            return f"its VRAM is {vram} MiB above what it was at first (workers.leak_vram_mib)"
        return ""

    def _grown(self, what: str, mib: int | None, warm: tuple[str, ...]) -> int:
        if mib is None:
            return 0
        first = self._first.setdefault((what, tuple(sorted(warm))), mib)
        if mib < first:
            self._first[what, tuple(sorted(warm))] = first = mib
        return mib - first
