"""Whether the twin may have forgotten something (the twin of `adapters/redis/lua/history.lua`). A test
changes `server`.
"""

from __future__ import annotations


class History:
    """Which history the server serves, for which the ledger is settled, and who has seen more of it than
    there is.
    """

    def __init__(self) -> None:
        self.server = self.settled = 0
        #: (history being settled, when a leader was heard before, since when); None: none is.
        self.settling: tuple[int, float, float] | None = None
        self.leader_seen = 0.0
        #: How often something was handed out, and the most that anybody has seen of what was forgotten.
        self.steps = self.back = 0
        #: Of attempts' numbers; new ones lie above the floor.
        self.highest = self.floor = 0
        #: Workers that are there: RQ's list of them.
        self.workers: set[str] = set()
        self.reported_workers: set[str] = set()
        self.reported_attempts: set[str] = set()

    @property
    def is_settled(self) -> bool:
        return self.settled == self.server

    @property
    def silent(self) -> set[str]:
        return self.workers - self.reported_workers

    def stepped(self, attempt: int = 0) -> int:
        """Something is handed out; `attempt`: its number."""
        self.highest = max(self.highest, attempt)
        self.steps += 1
        return self.steps

    def witness(self, seen: int) -> None:
        """`seen`: what who asks was told last. More than there is: the ledger forgot it."""
        if seen > self.steps:
            self.back, self.settled = max(self.back, seen), -1

    def begin(self, now: float) -> None:
        self.reported_workers, self.reported_attempts = set(), set()
        self.settling = (self.server, self.leader_seen, now)

    def end(self, floor: int) -> None:
        """`floor`: 0 where nothing was forgotten that anybody had seen."""
        if floor:
            self.floor, self.steps = floor, max(self.steps, self.back) + 1
        self.settled, self.settling, self.back = self.server, None, 0
        self.reported_workers, self.reported_attempts = set(), set()
