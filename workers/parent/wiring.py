"""Puts a worker together from the settings of the current project, and takes it apart again."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.files.vram_claims import folder_of as vram_claims_of
from conductor.adapters.open_ledger import redis_ledger, redis_of
from conductor.base.logs.event_feed import feeding
from conductor.base.redis_keys import Keys
from conductor.base.settings.limits import limits_of
from conductor.base.signing import signer_of
from conductor.dispatch.live_catalogue import LiveCatalogue
from conductor.node.health.declared_devices import known_devices
from workers.attempt.attempt import AttemptSettings
from workers.attempt.freezer import Freezer
from workers.attempt.lease_keeper import Keeper
from workers.attempt.parts import Parts
from workers.attempt.successor_feed import SuccessorFeed
from workers.isolation.child_process import ChildProcess
from workers.isolation.held_attempt import Held
from workers.isolation.stop_signals import Stopping
from workers.isolation.vram_claim import Claim
from workers.parent.watchdog import Watchdog
from workers.system import process_tree

if TYPE_CHECKING:
    from redis import Redis

    from conductor.base.settings.settings import Settings


def unique_name(node: str, lane: str) -> str:
    """Never used before: after a SIGKILL the old name would be taken for minutes, and leases name their
    worker.
    """
    return f"{clean(node)}-{lane}-{os.getpid()}-{secrets.token_hex(3)}"


def clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def node_name(settings: Settings) -> str:
    return clean(settings.node or os.uname().nodename)


Chores = Callable[[Held | None], None]


@contextmanager
def open_parts(
    settings: Settings,
    *,
    name: str,
    node: str,
    client: Redis,
    stopping: Stopping,
    queue: str = "",
    device: str | None = None,
    chores: Chores = lambda held: None,
    host: ChildProcess | None = None,
) -> Generator[Parts]:
    """Everything a `Runner` needs, with the keeper at work. Ends the child on the way out."""
    process_tree.adopt_orphans()
    # A missing key is said now, not by the first job.
    signer = signer_of(settings.redis.signing_key_env)
    ledger = redis_ledger(client, signer, Keys(settings.redis.prefix))
    rules = AttemptSettings(settings.layout, limits_of(settings), settings.timing.lease_s, signer)
    with ExitStack() as stack:
        stack.enter_context(known_devices(settings.state_dir, settings.devices.named, node))
        stack.enter_context(feeding(ledger.events.append, f"worker {name}"))
        receipts = FileReceiptLog(
            settings.receipts_dir, name if name.startswith(f"{node}-") else f"{node}-{name}"
        )
        stack.callback(receipts.close)
        host = host or ChildProcess(settings, name, device)
        stack.callback(host.close)
        keeper = Keeper(ledger.attempts, name, rules.lease_s, stopping, chores)
        keeper.start()
        stack.callback(keeper.close)
        claim = Claim(vram_claims_of(rules.layout), settings.limits.vram_headroom_mib, name, queue, device)
        stack.callback(claim.close)
        lining = SuccessorFeed(ledger.attempts, name, stopping, keeper.hurry) if queue else None
        if lining is not None:
            lining.start()
            stack.callback(lining.close)
        freezer = Freezer(host, stopping, settings.state_dir, node, name)
        stack.callback(freezer.thaw)
        watchdog = Watchdog(host, stopping, rules.lease_s, freezer)
        watchdog.start()
        stack.callback(watchdog.close)
        catalogue = LiveCatalogue(settings.for_code)
        yield Parts(
            rules, ledger, catalogue, receipts, host, keeper, stopping, name, node, claim, watchdog, lining
        )


@contextmanager
def own_parts(stopping: Stopping | None = None) -> Generator[Parts]:
    """For a single attempt, in whatever process this is. `stopping`: of who has a say in signals; None: they
    are left alone.
    """
    from conductor.base.settings.settings import load

    settings = load()
    node = node_name(settings)
    with redis_of(settings, is_lenient=True) as client:
        name = unique_name(node, "exec")
        stopping = stopping or Stopping()
        with open_parts(settings, name=name, node=node, client=client, stopping=stopping) as parts:
            yield parts
