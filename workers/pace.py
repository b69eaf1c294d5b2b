"""How long the tasks of this worker take: by that it knows which jobs are short enough to begin several at once."""

from __future__ import annotations

from collections.abc import Mapping

#: Jobs begun together should be over within so long: what waits behind another is not another worker's meanwhile.
TOGETHER_S = 0.05
#: One long job outweighs many short ones: what is known falls by so much of the difference with each.
_FORGET = 0.1


class Paces:
    """Task → seconds: the longest of late."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._short: dict[str, float] = {}

    def saw(self, task: str, seconds: float) -> None:
        before = self._known.get(task, seconds)
        now = self._known[task] = max(seconds, before + (seconds - before) * _FORGET)
        if now <= TOGETHER_S:
            self._short[task] = now
        else:
            self._short.pop(task, None)

    def of(self, task: str) -> float | None:
        """None: not known to be short."""
        return self._short.get(task)

    def short(self) -> Mapping[str, float]:
        return self._short
