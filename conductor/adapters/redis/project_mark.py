"""Whose work a Redis holds: a random mark of the project, in its receipts folder and in the ledger.

Two projects whose `redis.url` and `redis.prefix` are the same would run each other's jobs with their own code
into their own folders. The first who entrusts work to a ledger marks it as its project's; everybody else is
turned away at the door. All hosts of a project share its receipts folder, or a copy of this one file.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from loguru import logger

from conductor.base.errors import ConfigError
from conductor.base.files.safe_open import make_own
from conductor.base.redis_keys import Keys

if TYPE_CHECKING:
    from redis import Redis

    from conductor.base.settings.sections import Redis as RedisSettings

FILE = "project.id"


def claim(client: Redis, receipts_dir: Path, redis: RedisSettings) -> None:
    """The ledger is this project's from now on, or was before. Raises `ConfigError` where it is another
    one's.
    """
    from redis import exceptions

    from conductor.adapters.redis.client import translating

    here = mark_of(receipts_dir)
    with translating(client):
        there = _there(client, redis)
        if there is None:
            here = here or _written(receipts_dir, secrets.token_hex(8))
            # A worker's user may not: then it is the first dispatch that says whose it is.
            with suppress(exceptions.NoPermissionError):
                client.set(Keys(redis.prefix).project, here, nx=True)
            there = _there(client, redis) or here
    if here is None and redis.url is None:
        # The project's own server: the file was lost with its folder.
        here = _written(receipts_dir, there)
    if there != here:
        raise ConfigError(foreign(there, here, receipts_dir))


def warn_of_other_project(client: Redis, receipts_dir: Path, redis: RedisSettings) -> None:
    """For those who only look."""
    from conductor.adapters.redis.client import translating

    here = mark_of(receipts_dir)
    with translating(client):
        there = _there(client, redis)
    if there is not None and here is not None and there != here:
        logger.warning(foreign(there, here, receipts_dir))


def refuse_other_project(client: Redis, receipts_dir: Path, redis: RedisSettings) -> None:
    """For a worker, which marks nothing. Raises `ConfigError`."""
    from conductor.adapters.redis.client import translating

    here = mark_of(receipts_dir)
    with translating(client):
        there = _there(client, redis)
    if there is not None and there != here and redis.url is not None:
        raise ConfigError(foreign(there, here, receipts_dir))


def foreign(there: str, here: str | None, receipts_dir: Path) -> str:
    own = f"this one is {here}" if here else f"{receipts_dir / FILE} is not there"
    return (
        f"this Redis holds the work of another project ({there}; {own}): give one of them keys of its own "
        '(redis.prefix = "NAME") or a database of its own (redis.url = "redis://HOST:6379/1"), or, if '
        "this host is to "
        f"work for that project, write {there} into {receipts_dir / FILE}"
    )


def mark_of(receipts_dir: Path) -> str | None:
    """The project's own; None while it has none. Raises `ConfigError` where the file holds something else."""
    try:
        text = (receipts_dir / FILE).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    if not re.fullmatch(r"[0-9a-f]{8,64}", text):
        raise ConfigError(
            f"{receipts_dir / FILE} does not hold a project's mark (16 digits): copy it from another host"
        )
    return text


def _there(client: Redis, redis: RedisSettings) -> str | None:
    found = cast(bytes | None, client.get(Keys(redis.prefix).project))
    return None if found is None else found.decode("utf-8", "replace")


def _written(receipts_dir: Path, mark: str) -> str:
    """Whole or not at all; where somebody else was faster, theirs."""
    draft = receipts_dir / f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        make_own(receipts_dir)
        draft.write_text(f"{mark}\n", encoding="utf-8")
        with suppress(FileExistsError):
            os.link(draft, receipts_dir / FILE)
    except OSError as e:
        raise ConfigError(
            f"{receipts_dir / FILE} cannot be written ({e.strerror}); set receipts_dir to a folder of yours"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return mark_of(receipts_dir) or mark
