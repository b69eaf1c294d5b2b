"""The stuck jobs of a live ledger: read here, judged in `core.failures.stuck`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from conductor.base.errors import ConfigError
from conductor.base.files.layout import CodeSettings
from conductor.core.failures.stuck import Stuck, sign_of
from conductor.dispatch.catalogue import catalogue_of
from conductor.model.snapshot import Reservation
from conductor.model.spec import Request, TaskDecl, from_line, resolve
from conductor.ports import Ledger


def stuck_jobs(
    ledger: Ledger, active: Sequence[Reservation], catalogue: Mapping[str, TaskDecl], lease_s: float
) -> tuple[Stuck, ...]:
    """Those of `active` that do not get on, the longest in flight first. Raises `Unreachable`."""
    leases, asked, now = ledger.orphans.leases(), ledger.commands.asked(), ledger.bell.now()
    found = (
        sign_of(r, _request(ledger, r, catalogue), leases.get(r.job_id), lease_s, asked.get(r.job_id), now)
        for r in active
    )
    return tuple(stuck for stuck in found if stuck is not None)


def tasks_of(settings: CodeSettings) -> Mapping[str, TaskDecl]:
    """None where a task module cannot be read: `status` is looked at most when something is broken."""
    try:
        return catalogue_of(settings)
    except ConfigError:
        return {}


def _request(ledger: Ledger, held: Reservation, catalogue: Mapping[str, TaskDecl]) -> Request | None:
    decl = catalogue.get(held.task)
    job = ledger.jobs.job(held.job_id) if decl is not None and held.state == "running" else None
    if job is None or decl is None:
        return None
    try:
        return resolve(from_line(job.line), decl)
    except msgspec.DecodeError:
        return None
