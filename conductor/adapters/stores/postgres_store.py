"""A store in a PostgreSQL server: the only file that knows psycopg's connections and its pool."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from conductor.adapters.stores.postgres_errors import meant
from conductor.base.errors import ConfigError, StoreFault
from conductor.base.settings.store_settings import StoreSettings
from conductor.ports.store import SqlRow, SqlValue

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

    Postgres = psycopg.Connection[SqlRow]
    Lend = Callable[[], AbstractContextManager[Postgres]]

#: Unless the address says otherwise. A host that vanished is noticed after half a minute, not after the two
#: hours that an operating system gives it.
_DEFAULTS: dict[str, Any] = {
    "application_name": "conductor",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: A body that stands still (its host gave way, its program hangs) must not hold rows for ever.
_IDLE_S = 600
#: Who waits for a connection of the pool for so long asks the server itself: the pool says only that it has
#: none, whether they are all lent or the server is gone.
_ASKED_S = 2.0
_AT_ONCE = 2000


class PostgresStore:
    """One connection, or up to `connections` where the threads of a body share it."""

    kind: Literal["postgresql"] = "postgresql"

    def __init__(
        self, name: str, settings: StoreSettings, connections: int = 1, *, is_read_only: bool = False
    ) -> None:
        self.place = settings.url.partition("?")[0]
        self._name, self._settings = name, settings
        self._begin = (
            f"BEGIN{' READ ONLY' if is_read_only else ''}; "
            f"SET LOCAL lock_timeout = '{round(settings.lock_s * 1000)}ms'; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_S}s'; "
            # What a receipt calls done must be on the disk, whatever other programs are content with.
            "SELECT set_config('synchronous_commit', 'on', true) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        self.answered_at = time.monotonic()
        # Whoever opens a store hears at once what is wrong with it: a pool would only say that it waited.
        first = self._connected()
        if connections == 1:
            self._lend, self._close = _alone(first), first.close
        else:
            first.close()
            self._lend, self._close = self._pooled(connections)

    def version(self) -> str:
        with self._lent() as connection:
            number = connection.info.server_version
        return f"PostgreSQL {number // 10_000}.{number % 10_000}"

    def read(self, sql: str, values: Sequence[SqlValue] = ()) -> Iterator[SqlRow]:
        from psycopg import RawServerCursor

        with self._lent() as connection:
            connection.execute("BEGIN READ ONLY")
            with RawServerCursor(connection, "rows") as cursor:
                cursor.itersize = _AT_ONCE
                cursor.execute(sql.encode(), values)
                yield from cursor

    @contextmanager
    def transaction(self) -> Generator[PostgresTransaction]:
        with self._lent() as connection:
            connection.execute(self._begin.encode())
            yield PostgresTransaction(connection)
            connection.commit()

    def close(self) -> None:
        self._close()

    @contextmanager
    def _lent(self) -> Generator[Postgres]:
        """A connection of the caller's own; what it left open is undone."""
        import psycopg
        from psycopg_pool import PoolTimeout

        try:
            with self._lend() as connection:
                try:
                    yield connection
                    self.answered_at = time.monotonic()
                finally:
                    with suppress(psycopg.Error):
                        connection.rollback()
        except PoolTimeout:
            words = f"none of its connections was free for {self._settings.lock_s:g} s"
            raise StoreFault(f"store {self._name} ({self.place}): {words}", "busy") from None
        except psycopg.Error as e:
            raise meant(e, self._name, self.place) from None

    def _connected(self) -> Postgres:
        import psycopg

        try:
            return psycopg.connect(**self._parameters())
        except psycopg.Error as e:
            raise meant(e, self._name, self.place) from None

    def _parameters(self) -> dict[str, Any]:
        """For `psycopg.connect`. Autocommit: each transaction is begun by hand, in one round trip with its
        limits.
        """
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(self._settings.url)
        except psycopg.Error as e:
            raise ConfigError(f"stores.{self._name}.url: {meant(e, self._name, self.place)}") from None
        variable = self._settings.password_env
        if variable:
            password = os.environ.get(variable, "").strip()
            if not password:
                words = f"its password is not set: ${variable} is empty"
                raise StoreFault(f"store {self._name} ({self.place}): {words}", "refuses")
            given["password"] = password
        # Statements are not prepared: a pooler between us and the server would not know them again.
        return {
            **_DEFAULTS, **given, "autocommit": True, "cursor_factory": psycopg.RawCursor,
            "prepare_threshold": None,
        }  # fmt: skip

    def _pooled(self, connections: int) -> tuple[Lend, Callable[[], None]]:
        from psycopg_pool import ConnectionPool

        pool: ConnectionPool[Postgres] = ConnectionPool(
            kwargs=self._parameters(),
            min_size=1,
            max_size=connections,
            timeout=self._settings.lock_s,
            name=f"store {self._name}",
            check=ConnectionPool.check_connection,
            open=True,
        )

        @contextmanager
        def lend() -> Generator[Postgres]:
            connection = self._waited_for(pool)
            try:
                yield connection
            finally:
                pool.putconn(connection)

        return lend, pool.close

    def _waited_for(self, pool: ConnectionPool[Postgres]) -> Postgres:
        """Raises `StoreFault` as soon as the server is seen to be the reason, else `PoolTimeout` after
        `lock_s`."""
        from psycopg_pool import PoolTimeout

        until = time.monotonic() + self._settings.lock_s
        while True:
            left_s = until - time.monotonic()
            try:
                return pool.getconn(timeout=max(0.0, min(_ASKED_S, left_s)))
            except PoolTimeout:
                self._connected().close()
                if left_s <= _ASKED_S:
                    raise


def _alone(connection: Postgres) -> Lend:
    from threading import Lock

    lock = Lock()

    @contextmanager
    def lend() -> Generator[Postgres]:
        with lock:
            yield connection

    return lend


class PostgresTransaction:
    def __init__(self, connection: Postgres) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[SqlValue] = ()) -> int:
        return max(0, self._connection.execute(sql.encode(), values).rowcount)

    def many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.encode(), rows)
            return max(0, cursor.rowcount)

    def rows(self, sql: str, values: Sequence[SqlValue] = ()) -> list[SqlRow]:
        return self._connection.execute(sql.encode(), values).fetchall()
