"""Is this still the ledger we dispatched to? Asked by the conductor in every tick, by dispatch and status
once.
"""

from __future__ import annotations

import time
from pathlib import Path

from conductor.base.errors import ConfigError
from conductor.ports import Ledger
from conductor.record.dispatched_manifests import LedgerMatch
from conductor.record.journal import Journal

#: The journal is looked at this often, and whenever the ledger's mark changes.
LOOK_EVERY_S = 1.0


class Guard:
    """`reason` is cheap: one round trip. It may raise `Unreachable`."""

    def __init__(self, ledger: Ledger, receipts_dir: Path) -> None:
        self._ledger = ledger
        self._journal = Journal(receipts_dir)
        self._match = LedgerMatch()
        self._mark: str | None = None
        self._stamp: object = None
        self._look_at = 0.0

    def reason(self) -> str | None:
        """Why nothing may be admitted now; None when all is well."""
        pulse = self._ledger.identity.pulse()
        mark, settling_s = pulse.mark, pulse.rebuilt_s
        was_ours = self._mark is not None and mark is None
        if mark != self._mark or time.monotonic() >= self._look_at:
            self._look(mark)
        if self._match.is_lost:
            return self._match.sentence
        if was_ours:
            # Dispatched from another host, whose journal is not here to be asked.
            return (
                "Redis was emptied: `conductor rebuild`, where the manifests were dispatched, brings "
                "all of it back"
            )
        self._mark = mark
        if settling_s > 0:
            return f"just rebuilt: for {settling_s:.0f} s workers claim what they still run"
        return None

    def _look(self, mark: str | None) -> None:
        self._look_at = time.monotonic() + LOOK_EVERY_S
        stamp = (mark, self._journal.stamp())
        if stamp != self._stamp:
            self._stamp, self._match = stamp, self._journal.ledger_match(mark)


def ledger_match_of(ledger: Ledger, receipts_dir: Path) -> LedgerMatch:
    return Journal(receipts_dir).ledger_match(ledger.identity.generation())


def refuse_lost(ledger: Ledger, receipts_dir: Path) -> None:
    """Raises `ConfigError` in a ledger that knows nothing of what was dispatched."""
    ledger_match = ledger_match_of(ledger, receipts_dir)
    if ledger_match.is_lost:
        raise ConfigError(ledger_match.sentence or "")
