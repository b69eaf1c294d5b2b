"""What PostgreSQL says to who wants in, as trouble of the server: busy, down, or a refusal that only a person
ends.
"""

from __future__ import annotations

import psycopg
import pytest

from conductor.adapters.stores.postgres_errors import meant
from conductor.base.errors import StoreFault

AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        ("FATAL:  terminating connection due to unexpected postmaster exit", "down"),
        ("FATAL:  terminating connection due to administrator command", "down"),
        ("WARNING:  terminating connection because of crash of another server process", "down"),
        ("Connection refused", "down"),
        ("FATAL:  sorry, too many clients already", "busy"),
        ("FATAL:  the database system is starting up", "busy"),
        ('FATAL:  password authentication failed for user "ads"', "refuses"),
        ('FATAL:  database "ads" does not exist', "refuses"),
    ],
)
def test_what_it_says_to_who_wants_in(words: str, trouble: str) -> None:
    fault = meant(psycopg.OperationalError(AT + words), "ads", "127.0.0.1")
    assert isinstance(fault, StoreFault) and fault.trouble == trouble
