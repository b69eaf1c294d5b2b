"""Puts the parts together, once per process: finds or starts Redis, and builds the ledger on it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from conductor.base.redis_keys import PLAIN, Keys
from conductor.base.settings.settings import Settings
from conductor.ports import Ledger

if TYPE_CHECKING:
    from redis import Redis

    from conductor.base.signing import Signer


@contextmanager
def open_ledger(
    settings: Settings, is_lenient: bool = False, *, is_joining: bool = False
) -> Generator[Ledger]:
    """The ledger of `settings`: on the Redis it names, or on the project's own Valkey, started when there is
    none.

    Raises `Unreachable` (with the address and the remedy) and `ConfigError`, also for a Redis that forgets
    what it accepted; `is_lenient`, for those who only look: that is warned of.
    """
    from conductor.base.signing import signer_of

    with redis_of(settings, is_lenient, is_joining=is_joining) as client:
        yield redis_ledger(client, signer_of(settings.redis.signing_key_env), Keys(settings.redis.prefix))


@contextmanager
def redis_of(settings: Settings, is_lenient: bool = False, *, is_joining: bool = False) -> Generator[Redis]:
    """A client that has been answered, on a server that can be trusted and is this project's (`is_lenient`:
    or is warned of). Raises `ConfigError` where it is another project's.

    The project's own Valkey lives at least as long as the block; `is_joining`: it is there, others started
    it."""
    from conductor.adapters.redis import valkey
    from conductor.adapters.redis.project_mark import claim, warn_of_other_project
    from conductor.adapters.redis.server_checks import check_server

    if settings.redis.url is not None:
        with connect(settings.redis.url) as client:
            check_server(client, is_lenient or settings.redis.is_volatile_ok)
            (warn_of_other_project if is_lenient else claim)(client, settings.receipts_dir, settings.redis)
            yield client
        return
    if not is_lenient:
        valkey.refuse_full(settings.valkey)
    with valkey.session(settings.valkey, is_joining) as url, connect(url) as client:
        check_server(client, is_lenient or settings.redis.is_volatile_ok)
        (warn_of_other_project if is_lenient else claim)(client, settings.receipts_dir, settings.redis)
        yield client


@contextmanager
def connect(url: str) -> Generator[Redis]:
    """A client on `url`, closed at the end; nothing is sent yet."""
    from conductor.adapters.redis import client as redis_client

    with redis_client.connect(url) as client:
        yield client


def redis_ledger(client: Redis, signer: Signer | None = None, keys: Keys = PLAIN) -> Ledger:
    """Every port on one client; threads may share it. With a `signer`, lines are sealed and hand-overs
    signed.
    """
    from conductor.adapters.redis.alerts import RedisAlerts
    from conductor.adapters.redis.attempts import RedisAttempts
    from conductor.adapters.redis.backlog import RedisBacklog
    from conductor.adapters.redis.bell import RedisBell
    from conductor.adapters.redis.breakers import RedisKinds
    from conductor.adapters.redis.calls import RedisCallLog
    from conductor.adapters.redis.control import RedisControl
    from conductor.adapters.redis.doorbell import RedisDoorbell
    from conductor.adapters.redis.event_stream import RedisEventStream
    from conductor.adapters.redis.files import RedisFiles
    from conductor.adapters.redis.handover import RedisHandover
    from conductor.adapters.redis.leadership import RedisLeadership
    from conductor.adapters.redis.orphans import RedisOrphans
    from conductor.adapters.redis.pilots import RedisPilots
    from conductor.adapters.redis.reports import RedisReports
    from conductor.adapters.redis.reviews import RedisReviews
    from conductor.adapters.redis.schedules import RedisSchedules
    from conductor.adapters.redis.scripts import Scripts
    from conductor.adapters.redis.signed import SealingBacklog, SigningHandover
    from conductor.adapters.redis.workers import RedisWorkers

    scripts = Scripts(client, keys)
    backlog = SealingBacklog(scripts, signer) if signer else RedisBacklog(scripts)
    handover = SigningHandover(scripts, signer) if signer else RedisHandover(scripts)
    leadership, control = RedisLeadership(scripts), RedisControl(scripts)
    return Ledger(
        intake=backlog,
        waiting=backlog,
        jobs=backlog,
        tallies=backlog,
        attempts=RedisAttempts(scripts),
        orphans=RedisOrphans(scripts),
        workers=RedisWorkers(scripts),
        doorbell=RedisDoorbell(scripts),
        calls=RedisCallLog(scripts),
        files=RedisFiles(scripts),
        events=RedisEventStream(scripts),
        handover=handover,
        gate_record=handover,
        prefetch=handover,
        leadership=leadership,
        identity=backlog,
        forecasts=leadership,
        bell=RedisBell(scripts),
        reports=RedisReports(scripts),
        control=control,
        commands=control,
        priorities=control,
        kinds=RedisKinds(scripts),
        reviews=RedisReviews(scripts),
        alerts=RedisAlerts(scripts),
        schedules=RedisSchedules(scripts),
        pilots=RedisPilots(scripts),
    )
