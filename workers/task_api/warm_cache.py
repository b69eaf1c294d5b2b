"""What a task keeps between jobs: models, sessions, imports. Lives in the child and dies with it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")

#: Models are large: a child that serves more tasks than this drops the one unused for longest.
MAX_WARM = 4
#: What a job took of the device last time, and this much more, is what it is given room for.
MARGIN = 1.1
MARGIN_MIB = 64


class _Kept(NamedTuple):
    thing: Any
    #: Whose it is: the key that the task declares, else the task's name.
    owner: str


class WarmStore:
    """Key → object, least recently used out first; bounded by number, and on a device by what the job in hand
    reserved.

    A reservation covers all that the child holds while the job runs. What other jobs left is kept beside it
    only where it is known that both fit.
    """

    def __init__(self, size: int = MAX_WARM, held: Callable[[], int | None] = lambda: None) -> None:
        """`held`: MiB of VRAM that this process holds on its fullest device; None where the driver does
        not tell.
        """
        self._size = size
        self._held = held
        self._kept: dict[str, _Kept] = {}
        #: Objects made so far.
        self.made = 0
        self._owner = ""
        #: (owner, was it warm) → the most VRAM that was held after a job of it, beyond what was before.
        #: Frameworks keep what they took; what is taken and given back between is not seen.
        self._growth: dict[tuple[str, bool], int] = {}
        self._began: tuple[tuple[str, bool], int] | None = None

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The object kept under `key`, made now when there is none. What `make` raises is not kept."""
        found = self._kept.pop(key, None)
        if found is None:
            while len(self._kept) >= self._size:
                # Out before the new one is made: two large models may not fit side by side.
                self._drop(next(iter(self._kept)))
            found = _Kept(make(), self._owner)
            self.made += 1
        self._kept[key] = found
        return cast("T", found.thing)

    def keys(self) -> tuple[str, ...]:
        """Least recently used first."""
        return tuple(self._kept)

    def owners(self) -> tuple[str, ...]:
        """For whom something is warm, each once."""
        return tuple(dict.fromkeys(kept.owner for kept in self._kept.values()))

    def begin(self, owner: str, allowed_mib: int | None) -> None:
        """A job begins; what it keeps is `owner`'s. `allowed_mib`: what it reserved per device, None
        without one.
        """
        self._owner, self._began = owner, None
        if allowed_mib is None:
            return
        growth = self._expected(owner)
        # Never seen: it may need all that it reserved.
        spare = 0 if growth is None else allowed_mib - round(growth * MARGIN) - MARGIN_MIB
        for key in [key for key, kept in self._kept.items() if kept.owner != owner]:
            if (held := self._held()) is not None and held <= spare:
                break
            self._drop(key)
        for key in list(self._kept):
            # Its own alone are more than it reserved: they were made by jobs that reserved more.
            if (held := self._held()) is None or held <= allowed_mib:
                break
            self._drop(key)
        if (held := self._held()) is not None:
            self._began = ((owner, owner in self.owners()), held)

    def end(self) -> None:
        """The job that began last has ended."""
        if self._began is not None and (now := self._held()) is not None:
            kind, held = self._began
            self._growth[kind] = max(self._growth.get(kind, 0), now - held)
        self._began = None

    def _expected(self, owner: str) -> int | None:
        """MiB that a job of it takes beyond what is held now, by the most so far; None: not known."""
        cold = self._growth.get((owner, False))
        if owner not in self.owners():
            return cold
        # Where it began cold before, what it left is all that it took, and is held already.
        return self._growth.get((owner, True), None if cold is None else 0)

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key)
        close = getattr(kept.thing, "close", None)
        try:
            if callable(close):
                close()
        except Exception as e:  # noqa: BLE001  a model that cannot say goodbye goes all the same
            sys.stderr.write(f"closing what was kept as {key} failed: {e!r}\n")
        del kept, close
        gc.collect()
        _empty_caches()


def _empty_caches() -> None:
    """Torch keeps what it freed: given back to the driver too. Only where a task has loaded it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
