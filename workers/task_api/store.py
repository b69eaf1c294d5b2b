"""`ctx.store(NAME)`: a store that is open while a body works with it, what its gate is told of it, and the
tables that a task has there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from conductor.base.errors import (
    BadInput,
    ConfigError,
    Refused,
    ServerError,
    StatementRefused,
    StoreFault,
    StoreUnavailable,
)
from conductor.model.calls import Call
from conductor.model.spec import store_key

if TYPE_CHECKING:
    from conductor.base.files.layout import CodeSettings
    from conductor.ports.store import SqlStore


@contextmanager
def opened(
    settings: CodeSettings, name: str, connections: int, called: Callable[[Call], None]
) -> Generator[SqlStore]:
    """`called`: tells the gate. Raises `StoreUnavailable` where nobody could work with it now, `ServerError`
    where two jobs were in each other's way, `BadInput` for what it does not take, `Refused`."""
    from conductor.adapters.stores.open_store import open_store

    key, began = store_key(name), time.monotonic()
    try:
        with closing(open_store(settings, name, connections)) as store:
            try:
                yield store
            except StoreFault:
                raise
            except BaseException:
                _tell_well(called, key, store)
                raise
            _tell_well(called, key, store)
    except StoreFault as e:
        took_s = time.monotonic() - began
        called(Call(key=key, outcome="failed", took_s=took_s, trouble=e.trouble, words=str(e)))
        raise (ServerError(str(e)) if e.trouble == "faulty" else StoreUnavailable(str(e), key)) from None
    except StatementRefused as e:
        raise BadInput(str(e)) from None
    except ConfigError as e:
        raise Refused(str(e)) from None


def _tell_well(called: Callable[[Call], None], key: str, store: SqlStore) -> None:
    """It answered then: a fault that was heard of later is not over for that."""
    called(Call(key=key, outcome="ok", took_s=time.monotonic() - store.answered_at))


def make_tables(store: SqlStore, statements: Sequence[str], last: str) -> None:
    """Where they are not there: all of them, or none. The `last` one is asked for first: to make what is
    there would wait for whoever writes."""
    for _ in range(2):
        try:
            list(store.read(f"SELECT 1 FROM {last} LIMIT 1"))
            return
        except StatementRefused:
            # Of two that make them at once one is refused, and finds them when it asks again.
            with suppress(StatementRefused), store.transaction() as change:
                for statement in statements:
                    change.execute(statement)
