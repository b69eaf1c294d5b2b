"""The waiting jobs of one class in the twin (the ledger's sorted set of that class)."""

from __future__ import annotations

import heapq


class ClassQueue:
    """Ids by order of arrival. What leaves is struck from the set; the heap forgets it when it comes up."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._heap: list[tuple[int, str]] = []

    def add(self, seq: int, job_id: str) -> None:
        if job_id not in self.ids:
            self.ids.add(job_id)
            heapq.heappush(self._heap, (seq, job_id))

    def first(self, n: int) -> list[str]:
        taken: list[tuple[int, str]] = []
        while self._heap and len(taken) < n:
            item = heapq.heappop(self._heap)
            # A job that left and came back stands here twice.
            if item[1] in self.ids and (not taken or taken[-1] != item):
                taken.append(item)
        for item in taken:
            heapq.heappush(self._heap, item)
        return [job_id for _, job_id in taken]

    def before(self, job_id: str, seq: int) -> int | None:
        """How many stand before it; None when it is not here."""
        return (
            len({other for at, other in self._heap if at < seq and other in self.ids})
            if job_id in self.ids
            else None
        )
