"""What a PostgreSQL server means by its errors: is it the server, or the statement. Pure but for psycopg's
classes.

A server that is not reached, or that lets nobody in, says so in words alone (libpq hands on no code there);
all else goes by SQLSTATE.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from conductor.base import secrets
from conductor.base.errors import ConductorError, StatementRefused, StoreFault
from conductor.base.text import printable
from conductor.model.calls import Trouble

if TYPE_CHECKING:
    import psycopg

MOST_WORDS = 300
#: By the first letters of its SQLSTATE, the longer ones first.
_STATES: tuple[tuple[str, Trouble, str], ...] = (
    ("08", "down", "the connection broke"),
    ("28", "refuses", "it does not let this user in"),
    ("3D", "refuses", "it has no such database"),
    ("40", "faulty", "two jobs were in each other's way"),
    ("42501", "refuses", "this user lacks a right there"),
    ("25006", "refuses", "it takes no writes: it is a standby, or set to read-only"),
    ("53100", "busy", "its disk is full"),
    ("53", "busy", "it has no room for more"),
    ("55P03", "busy", "another program holds the lock"),
    ("57P04", "refuses", "its database was dropped"),
    ("57P", "down", "it was stopped"),
    ("58", "down", "its disk answers with an error"),
    ("XX", "down", "it is damaged"),
)
#: What it says to who wants in, in English; in another language it counts as down, which holds as well.
_BUSY = re.compile(
    r"too many (clients|connections)|connection slots|starting up|shutting down|recovery|not yet acc"
)
#: It was stopped, or killed, while somebody came in: no refusal, though it says FATAL.
_STOPPED = re.compile(r"terminating connection|unexpected postmaster exit|crash of another server process")
_REFUSES = re.compile(r"FATAL:|authentication|no password supplied|certificate|SSL|sslmode|invalid")


def meant(e: psycopg.Error, name: str, place: str) -> ConductorError:
    """`StoreFault` where it is the server's, `StatementRefused` where it is the statement's own."""
    import psycopg

    state, words = e.sqlstate or "", words_of(e)
    for letters, trouble, said in _STATES:
        if state.startswith(letters):
            return StoreFault(f"store {name} ({place}): {said} ({words})", trouble)
    if state:
        return StatementRefused(f"store {name}: {words}")
    if isinstance(e, psycopg.OperationalError):
        return StoreFault(f"store {name} ({place}): {words}", _trouble_of(str(e)))
    if isinstance(e, psycopg.InterfaceError):
        return StoreFault(f"store {name} ({place}): {words}", "down")
    # A value that it cannot take: psycopg looks before it asks.
    return StatementRefused(f"store {name}: {words}")


def _trouble_of(words: str) -> Trouble:
    if _BUSY.search(words):
        return "busy"
    return "refuses" if _REFUSES.search(words) and not _STOPPED.search(words) else "down"


def words_of(e: BaseException) -> str:
    """The server's own, in one line: of several addresses that were tried the last one's."""
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    heard = [line for line in lines if "failed: " in line] or lines[:1]
    words = heard[-1].rpartition("failed: ")[2] if heard else type(e).__name__
    words = re.sub(r"^(FATAL|ERROR|PANIC):\s*", "", words)
    return printable(secrets.scrub(words))[:MOST_WORDS]
