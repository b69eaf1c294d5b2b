"""How long the tasks of this worker take: by that it knows which jobs are short enough to begin several at
once.
"""

from __future__ import annotations

from collections.abc import Mapping

#: A task is short that takes no longer.
SHORT_S = 0.05
#: Jobs begun together should be over within so long: what waits behind another is not another worker's
#: meanwhile, and is charged with an attempt where this worker is killed.
TOGETHER_S = 0.1
#: One long job outweighs many short ones: what is known falls by so much of the difference with each.
_FORGET = 0.1


def _is_other(before: float, now: float) -> bool:
    return abs(now - before) > max(now, before) / 2


class Paces:
    """Task → seconds: the longest of late."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._short: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def saw(self, task: str, seconds: float) -> None:
        before = self._known.get(task, seconds)
        now = self._known[task] = max(seconds, before + (seconds - before) * _FORGET)
        if now <= SHORT_S:
            self._short[task] = now
        else:
            self._short.pop(task, None)

    def news(self) -> dict[str, float]:
        """What has become another since it was asked last; 0: not short any more."""
        known = {task: self._short.get(task, 0.0) for task in (*self._short, *self._told)}
        news = {task: now for task, now in known.items() if _is_other(self._told.get(task, 0.0), now)}
        self._told |= news
        return news

    def short(self) -> Mapping[str, float]:
        """Of those that are known to be short."""
        return self._short
