"""When the host's headroom of memory is broken into, the body that is most over its reservation is ended,
and no other.

A body within its reservation pays nothing for this, and looks at nothing. One that is over it while too
little is free says by how much, in a small file of its own, and a round later, when all others have said
theirs, the one with most ends its body. Local files: there may be no time for a round trip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from conductor.adapters.host import host_probe
from conductor.base.files.safe_open import make_own
from conductor.base.text import size
from workers.isolation.resident_memory import is_over_reservation, resident_mib

BEYOND_FOLDER = "beyond"
#: All that are beyond their words have looked within so long of each other (`lease.SAMPLE_S`, and what a busy
#: machine adds).
ROUND_S = 1.2
#: Said longer ago than this, it counts no more.
STALE_S = 4.0


class HostMemory:
    """One attempt's. `word_mib`: what was reserved for it."""

    def __init__(
        self,
        state_dir: Path,
        name: str,
        word_mib: int,
        headroom_mib: int,
        available: Callable[[], int | None] = lambda: host_probe.read().measured["ram"].free,
    ) -> None:
        self._state_dir, self._name = state_dir, name
        self._reserved_mib = word_mib
        self._headroom_mib = headroom_mib
        self._available = available
        #: Since when it has said so (monotonic).
        self._since: float | None = None

    @cached_property
    def _file(self) -> Path:
        """Of those that have something to say, and they are few."""
        return self._state_dir / BEYOND_FOLDER / self._name

    def look(self, pids: Sequence[int], rss_mib: int | None) -> str:
        """With every sample of what its processes hold; why its body is to be ended, or nothing."""
        if rss_mib is None or not is_over_reservation(rss_mib, self._reserved_mib) or not self._is_short():
            self.close()
            return ""
        # What several share is counted for each of them: looked at closely only now.
        held_mib = own_mib(pids) or rss_mib
        if not is_over_reservation(held_mib, self._reserved_mib):
            self.close()
            return ""
        excess = held_mib - self._reserved_mib
        self._say(excess)
        if self._since is None:
            self._since = time.monotonic()
        if time.monotonic() - self._since < ROUND_S or any(other > excess for other in self._others()):
            return ""
        held, word, left = (size(mib << 20) for mib in (held_mib, self._reserved_mib, self._available() or 0))
        return f"held {held} of memory where {word} were reserved, and {left} were left"

    def close(self) -> None:
        """It has ended, or is within its word again."""
        if self._since is not None:
            self._since = None
            self._file.unlink(missing_ok=True)

    def _is_short(self) -> bool:
        available = self._available()
        return available is not None and available < self._headroom_mib

    def _say(self, excess: int) -> None:
        with suppress(OSError):
            make_own(self._file.parent)
            draft = self._file.with_name(f".{self._file.name}")
            draft.write_text(str(excess), encoding="ascii")
            draft.replace(self._file)

    def _others(self) -> list[int]:
        found: list[int] = []
        for file in self._file.parent.iterdir():
            with suppress(OSError, ValueError):
                if (
                    file.name[0] != "."
                    and file != self._file
                    and time.time() - file.stat().st_mtime < STALE_S
                ):
                    found.append(int(file.read_text(encoding="ascii")))
        return found


def own_mib(pids: Sequence[int]) -> int | None:
    """What ending these processes would give back: shared pages by their share, and no page of a file."""
    found: list[int] = []
    for pid in pids:
        with suppress(OSError, ValueError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            found.append(kib.get("Pss", 0) - kib.get("Pss_File", 0))
    return sum(found) >> 10 if found else resident_mib(pids)
