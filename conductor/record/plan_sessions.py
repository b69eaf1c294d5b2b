"""Parameter sessions: a plan and its arguments under a handle that expires, for who asks for one run after
another with the same ones. One file each, `STATE_DIR/sessions/HANDLE.json`; who opened one, and who planned
with it, stands in the journal.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from conductor.base.errors import UsageError
from conductor.base.files.safe_open import make_own, write_whole
from conductor.model.spec import Value

FOLDER = "sessions"
_HANDLE = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")


class PlanSession(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Times are epoch seconds by the host that wrote them."""

    handle: str
    plan: str
    arguments: tuple[str, ...]
    #: Who opened it.
    who: str
    opened_at: float
    expires_at: float


class PlanSessions:
    """Those of one project."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def open(self, plan: str, arguments: Sequence[str], who: str, lasts_s: float, now: float) -> PlanSession:
        """The handle cannot be guessed."""
        session = PlanSession(
            handle=f"{plan}-{secrets.token_hex(6)}",
            plan=plan,
            arguments=tuple(arguments),
            who=who,
            opened_at=now,
            expires_at=now + lasts_s,
        )
        make_own(self._folder)
        write_whole(
            self._file(session.handle), msgspec.json.format(msgspec.json.encode(session), indent=1) + b"\n"
        )
        return session

    def find(self, handle: str, plan: str, now: float) -> PlanSession:
        """Raises `UsageError` where there is none, where it is another plan's, and where it has expired."""
        session = self._read(self._file(handle)) if _HANDLE.fullmatch(handle) else None
        if session is None:
            raise UsageError(f"there is no session {handle!r}: `conductor sessions dump` lists all")
        if session.plan != plan:
            raise UsageError(f"the session {handle} is one of {session.plan}, not of {plan}")
        if session.expires_at <= now:
            at = datetime.fromtimestamp(session.expires_at).strftime("%Y-%m-%d %H:%M")
            raise UsageError(f"the session {handle} expired at {at}: open another (conductor sessions open)")
        return session

    def all(self) -> list[PlanSession]:
        """The eldest first; what was written by nobody of ours is passed over."""
        found = (self._read(file) for file in self._folder.glob("*.json"))
        return sorted(
            (each for each in found if each is not None), key=lambda each: (each.opened_at, each.handle)
        )

    def prune(self, now: float) -> list[PlanSession]:
        """Removes those that have expired. → which."""
        stale = [session for session in self.all() if session.expires_at <= now]
        for session in stale:
            self._file(session.handle).unlink(missing_ok=True)
        return stale

    def _file(self, handle: str) -> Path:
        return self._folder / f"{handle}.json"

    @staticmethod
    def _read(file: Path) -> PlanSession | None:
        try:
            session = msgspec.json.decode(file.read_bytes(), type=PlanSession)
        except (OSError, msgspec.DecodeError):
            return None
        return session if session.handle == file.stem else None
