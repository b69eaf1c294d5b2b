"""A database that jobs work on, whichever server holds it.

One SQL for both: values stand as `$1`, `$2` …, each table has a primary key, and a row is written by
`INSERT … ON CONFLICT (id) DO NOTHING` or `DO UPDATE`. So a body that is run twice, or that never learned
whether its commit arrived, leaves every row once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

#: What a database is asked and gives: None, bool, int, float, str, bytes.
SqlValue = Any
SqlRow = tuple[SqlValue, ...]


class SqlTransaction(Protocol):
    """All of it or nothing. Of a SQLite store there is one at a time; the others wait for it."""

    def execute(self, sql: str, values: Sequence[SqlValue] = ()) -> int:
        """How many rows it touched."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> int:
        """The same for each of `rows`: how many rows they touched in all."""
        ...

    def rows(self, sql: str, values: Sequence[SqlValue] = ()) -> list[SqlRow]: ...


class SqlStore(Protocol):
    """May be shared by the threads of a body. What it cannot do is a `StoreFault` or a `StatementRefused`."""

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]: ...

    @property
    def place(self) -> str:
        """For people: the file, or the server's address, without a password."""
        ...

    @property
    def answered_at(self) -> float:
        """When it last did what it was asked (`time.monotonic`)."""
        ...

    def version(self) -> str:
        """«SQLite 3.46.1», «PostgreSQL 15.9»."""
        ...

    def read(self, sql: str, values: Sequence[SqlValue] = ()) -> Iterator[SqlRow]:
        """Row by row, in one look at the store: what is written meanwhile is not among them."""
        ...

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """Committed at the end of the block; rolled back where the block raises."""
        ...

    def close(self) -> None: ...
