"""A store, to look into while one plans or checks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager

from conductor.base.files.layout import CodeSettings
from conductor.ports.store import SqlStore


@contextmanager
def open_store(settings: CodeSettings, name: str) -> Generator[SqlStore]:
    """The database `[stores.NAME]`, to look into: a plan, or checks, change nothing there. What a task's body
    has instead is `ctx.store(name)`.

    Raises `StoreFault` where it is away or lets nobody in, `StatementRefused` (no such table), `ConfigError`.
    """
    from conductor.adapters.stores.open_store import open_store as opened

    with closing(opened(settings, name, is_read_only=True)) as store:
        yield store
