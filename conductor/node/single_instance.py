"""One node of a name: by a lock on this host, by its report on the others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conductor.adapters.host.processes import live_pid
from conductor.adapters.host.state_folder_watch import watched
from conductor.base.errors import ConductorError, ConfigError
from conductor.base.files.layout import Layout
from conductor.base.files.safe_open import make_own
from conductor.base.settings.engine_settings import EngineSettings, name_twice
from conductor.model.report import NodeReport
from conductor.node.health.report import Identity
from conductor.ports import Ledger


def pid_path(layout: Layout, node: str) -> Path:
    return layout.state_dir / f"node-{node}.pid"


def up_file(layout: Layout) -> Path:
    """Says who it is that is up (`conductor up`), once all of it is."""
    return layout.state_dir / "up.pid"


@contextmanager
def only_one(layout: Layout, node: str) -> Generator[None]:
    """The kernel lets go of the lock when this process dies, however it dies. Raises `Unreachable` at the end
    of the block where the state folder was removed meanwhile."""
    make_own(layout.state_dir)
    file = layout.state_dir / f"node-{node}.lock"
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = live_pid(pid_path(layout, node))
            raise ConfigError(
                f"node {node} of {layout.project} already runs here{f' (pid {pid})' if pid else ''}; "
                "stop it with `conductor node --stop` or `conductor down`"
            ) from None
        with watched(lock, file):
            yield
    finally:
        os.close(lock)


def refuse_engine(engines: Mapping[str, EngineSettings], node: str) -> None:
    """Whoever of both reports last would be the node. Raises `ConfigError`."""
    if why := name_twice(engines, node):
        raise ConfigError(f'{why}: give the host another name (node = "…" in conductor.toml), or the engine')


def refuse_twin(ledger: Ledger, identity: Identity) -> None:
    """Two nodes of one name would place twice what this host has. A report of a process that died here is
    no node.
    """
    for report in ledger.reports.live():
        if report.node == identity.node and not is_dead_here(report, identity):
            raise ConfigError(
                f"a node called {report.node} already reports to this Redis (host {report.host}, pid "
                f"{report.pid}); "
                'give this one another name: node = "…" in conductor.toml'
            )


def claim_pilot(ledger: Ledger, identity: Identity) -> None:
    """An engine may start one pilot twice, or one that was given up: only the first may come up, and only
    while it is waited for. Raises `ConductorError`."""
    if not identity.pilot:
        return
    why = ledger.pilots.claim(identity.pilot, f"{identity.host} {identity.boot_id} {identity.pid}")
    if why == "claimed":
        raise ConductorError(f"pilot {identity.pilot} is up already: the engine has started it twice")
    if why:
        raise ConductorError(f"pilot {identity.pilot} is not waited for any more ({why})")


def is_dead_here(report: NodeReport, identity: Identity) -> bool:
    import psutil

    is_here = (report.host, report.boot_id) == (identity.host, identity.boot_id)
    return is_here and (report.pid == identity.pid or not psutil.pid_exists(report.pid))
