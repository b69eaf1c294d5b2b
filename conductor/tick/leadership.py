"""The lead: taken, renewed from a thread so that a long tick does not lose it, given back at the end."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from conductor.base.errors import Unreachable
from conductor.ports import Leadership

#: One small script on Redis each time.
ASK_S = 0.1


class Lead:
    """`renew` says whether this process leads now. The epoch fences every write, so a stale answer does no
    harm.
    """

    def __init__(self, leadership: Leadership, owner: str, ttl_s: float) -> None:
        self._leadership = leadership
        self._owner = owner
        self._ttl_s = ttl_s
        self._ended = threading.Event()

    @property
    def poll_s(self) -> float:
        """How often to renew."""
        return self._ttl_s / 3

    @property
    def ask_s(self) -> float:
        """How often to ask while somebody else leads: what is lost when a leader is killed, on top of its
        lease.
        """
        return min(ASK_S, self._ttl_s / 3)

    @property
    def terms(self) -> tuple[str, float]:
        """What `renew` asks with: (owner, ttl_s)."""
        return self._owner, self._ttl_s

    def renew(self) -> int | None:
        """The epoch, or None while somebody else leads. Raises `Unreachable`."""
        return self._leadership.lead(self._owner, self._ttl_s)

    @contextmanager
    def held(self) -> Generator[None]:
        """Renews in the background; resigns at the end, so that a standby need not wait for the lease to
        run out.
        """
        self._ended.clear()
        thread = threading.Thread(target=self._keep, name="lead", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            with suppress(Unreachable):
                self._leadership.resign(self._owner)

    def _keep(self) -> None:
        while not self._ended.wait(self.poll_s):
            with suppress(Unreachable):  # the tick meets it as well, and says so
                self.renew()
