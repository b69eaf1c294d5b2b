"""What a task keeps between jobs: models, sessions, imports. Lives in the child and dies with it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

#: Models are large: a child that serves more tasks than this drops the one unused for longest.
MAX_WARM = 4


class WarmStore:
    """Key → object, least recently used out first."""

    def __init__(self, size: int = MAX_WARM) -> None:
        self._size = size
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The object kept under `key`, made now when there is none. What `make` raises is not kept."""
        if key not in self._kept:
            while len(self._kept) >= self._size:
                # Out before the new one is made: two large models may not fit side by side.
                self._kept.popitem(last=False)
            self._kept[key] = make()
        self._kept.move_to_end(key)
        return cast("T", self._kept[key])

    def keys(self) -> tuple[str, ...]:
        """Least recently used first."""
        return tuple(self._kept)
