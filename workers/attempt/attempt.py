"""The attempt in hand, and the receipt it ends in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from conductor.adapters.files.vram_claims import folder_of as vram_claims_of
from conductor.base.code_version import code_version
from conductor.base.errors import JobError
from conductor.base.files.layout import Layout
from conductor.base.secrets import scrub, scrub_all
from conductor.base.signing import Signer
from conductor.base.text import size
from conductor.model.identity import id_of, line_hash
from conductor.model.ledger_entries import Begun, Started
from conductor.model.limits import Limits
from conductor.model.media import MediaFact
from conductor.model.receipt import (
    RECEIPT_VERSION,
    AdmittedNeeds,
    Outcome,
    Receipt,
    Usage,
    body_of,
)
from conductor.model.review import ReviewAsked
from conductor.model.snapshot import Reservation
from conductor.model.spec import JobSpec, Needs, Request, TaskDecl, from_line, resolve
from conductor.model.subject import subject_of
from workers.attempt import publish
from workers.attempt.ledger_time import LedgerTime
from workers.attempt.saved_outputs import SavedResult
from workers.isolation.device_sharers import rivals
from workers.isolation.held_attempt import Held
from workers.isolation.host_memory import HostMemory
from workers.isolation.protocol import Run
from workers.isolation.resident_memory import is_over_reservation
from workers.isolation.usage import Meter
from workers.task_api import checkpoint
from workers.task_api.failure_causes import AttemptFault, cut


class AttemptSettings(NamedTuple):
    """What attempts on this host go by."""

    layout: Layout
    limits: Limits
    #: Seconds.
    lease_s: float
    #: None: hand-overs are not signed.
    signer: Signer | None = None


class Attempt:
    """One attempt that has been started. Raises `Refused` for a line that this worker must not or cannot
    run.
    """

    def __init__(
        self,
        started: Started,
        catalogue: Mapping[str, TaskDecl],
        settings: AttemptSettings,
        valid_until: float,
    ) -> None:
        reservation = started.reservation
        self._layout = layout = settings.layout
        self.job_id, self.number = reservation.job_id, reservation.attempt
        #: Of its body, drawn here: no other has it, also where the ledger gives the number out a second time.
        self.token = secrets.token_hex(4)
        self.started = started
        self.ledger_time = LedgerTime(told_at(started))
        self.devices = reservation.devices
        #: What its child is to see: these very cards.
        self.visible = reservation.uuids or reservation.devices
        self.line = started.line.decode()
        self.spec, self.decl, self.request = understand(started.line, catalogue)
        check_genuine(started, self.spec, settings.signer)
        self._code_version = ""
        limits = settings.limits
        memory = HostMemory(layout.state_dir, self.body, reservation.ram_mib, limits.ram_headroom_mib)
        meter = Meter(
            self._folders,
            self.devices,
            reservation.vram_mib,
            limits.vram_headroom_mib,
            memory,
            lambda device, child: rivals(vram_claims_of(layout), device, child),
        )
        self.held = Held(reservation, meter, valid_until)
        self.held.about = subject_of(self.spec)
        #: By this host's clock, epoch seconds: when its turn came.
        self.began_at = time.time()
        #: When its body had ended; 0: it has not.
        self.body_ended_at = 0.0
        #: Children that went before they began it.
        self.false_starts = 0
        #: It was preloaded behind another attempt, and the ledger has not started it.
        self.behind: Begun | None = None
        #: What had been heard of the ledger when it was.
        self.as_of: tuple[int, int] = (0, 0)
        #: What an earlier attempt computed and could not put in place.
        self.earlier: SavedResult | None = None
        #: Processes that its body left running.
        self.left_running: tuple[str, ...] = ()

    @property
    def code_version(self) -> str:
        """As it was when it was first asked for: what is on disk when the attempt ends may be newer than
        what ran.
        """
        self._code_version = self._code_version or code_version(self.decl.module)
        return self._code_version

    def _folders(self) -> tuple[str, ...]:
        kept = checkpoint.folder_name(self._layout, self.job_id, self.body)
        return (*publish.folder_names(self._layout, self.spec, self.body), kept)

    @property
    def body(self) -> str:
        """ATTEMPT.TOKEN"""
        return body_of(self.number, self.token)

    @property
    def reserved(self) -> dict[str, int]:
        """Device → MiB."""
        return dict.fromkeys(self.devices, self.started.reservation.vram_mib)

    @property
    def needs(self) -> Needs:
        """Of the class that it was admitted as: its line's, with what earlier attempts taught, on the engine
        whose budget was reserved."""
        return self.started.job_class.needs

    @property
    def run(self) -> Run:
        """What the child is told."""
        return Run(
            line=self.line,
            decl=self.decl,
            job_id=self.job_id,
            attempt=self.number,
            token=self.token,
            devices=self.devices,
            vram_mib=self.started.reservation.vram_mib if self.devices else None,
            engine=self.needs.engine,
            timeout_s=self.request.timeout_s,
        )

    def is_started(self, started: Started, valid_until: float) -> None:
        """It is an attempt of the ledger's now; its body began before."""
        self.started, self.behind = started, None
        self.ledger_time = LedgerTime(told_at(started))
        self.held.is_started(started.reservation, valid_until)

    def begin(self, pid: int) -> None:
        """Its body has its turn, in the process `pid`."""
        self.began_at = time.time()
        self.held.begin(pid)


class AttemptRefused(JobError):
    cause = "refused"


class Unknown(AttemptRefused):
    """Its task is not here yet: on another host, or in a while, it may be."""


def understand(line: bytes, catalogue: Mapping[str, TaskDecl]) -> tuple[JobSpec, TaskDecl, Request]:
    try:
        spec = from_line(line)
    except msgspec.DecodeError as e:
        raise AttemptRefused(f"the ledger's line cannot be read: {e}") from None
    decl = catalogue.get(spec.task)
    if decl is None:
        if not _is_as_planned(spec):
            raise AttemptRefused(
                f"no task is named {spec.task!r}, and the ledger's line is not the one that its id stands for"
            )
        raise Unknown(
            f"no worker on this host knows the task {spec.task!r} yet: its module is not there, cannot be "
            "imported, or "
            "is not in task_modules"
        )
    return spec, decl, resolve(spec, decl)


def _is_as_planned(spec: JobSpec) -> bool:
    try:
        return id_of(spec) == spec.id
    except (TypeError, ValueError):
        return False


def check_genuine(started: Started, spec: JobSpec, signer: Signer | None) -> None:
    """Redis is not trusted with what is run: raises `Refused` for another job's line, or a hand-over
    nobody signed.
    """
    held = started.reservation
    if spec.id != held.job_id:
        raise AttemptRefused(f"the ledger's line is of job {spec.id}: somebody wrote to Redis")
    if signer is not None and not signer.is_signed(held, started.line):
        raise AttemptRefused(
            "the hand-over carries no signature of this key: it was forged, or the key differs between hosts"
        )


class Scribe:
    """Writes this worker's receipts. Times are this host's clock, epoch seconds; where that is a minute off,
    the ledger's.
    """

    def __init__(self, node: str, worker: str) -> None:
        self._node = node
        self._worker = worker

    def ok(
        self,
        attempt: Attempt,
        done: SavedResult,
        usage: Usage,
        review: ReviewAsked | None = None,
    ) -> Receipt:
        """`review`: what a person has to accept before the job counts as done."""
        outcome: Outcome = "ok" if review is None else "review"
        spec = attempt.spec
        return msgspec.structs.replace(
            self._base(
                attempt.started, attempt.ledger_time, spec.workflow, spec.task, attempt.began_at, outcome
            ),
            review=review,
            token=attempt.token,
            beyond=over_reservation(attempt.started.reservation, usage),
            outputs=done.outputs,
            media=scrubbed_tags(done.media),
            result=scrub_all(done.result),
            usage=usage,
            code_version=attempt.code_version,
            left_running=attempt.left_running,
            frozen_s=round(attempt.held.frozen_s, 3),
            checked_s=checked_s(attempt),
        )

    def failed(self, attempt: Attempt, fault: AttemptFault, usage: Usage) -> Receipt:
        spec = attempt.spec
        plain = self._base(
            attempt.started, attempt.ledger_time, spec.workflow, spec.task, attempt.began_at, "failed"
        )
        return msgspec.structs.replace(
            plain,
            token=attempt.token,
            beyond=over_reservation(attempt.started.reservation, usage),
            cause=fault.cause,
            # This side knows secrets that the child does not.
            message=scrub(fault.message),
            exit_code=fault.exit_code,
            is_lasting=fault.is_lasting,
            raised_at=fault.raised_at,
            usage=usage,
            code_version=attempt.code_version,
            left_running=attempt.left_running,
            frozen_s=round(attempt.held.frozen_s, 3),
        )

    def refused(self, started: Started, error: JobError) -> Receipt:
        """For a line that could not be understood: only what the reservation says is known."""
        task = started.reservation.task
        plain = self._base(started, LedgerTime(told_at(started)), "unknown", task, time.time(), "failed")
        return msgspec.structs.replace(plain, cause="refused", message=cut(str(error)))

    def _base(
        self,
        started: Started,
        ledger_time: LedgerTime,
        workflow: str,
        task: str,
        began_at: float,
        outcome: Outcome,
    ) -> Receipt:
        reservation = started.reservation
        if ahead_s := ledger_time.ahead_s():
            # The clock may have been set since it began.
            began_at = max(began_at - ahead_s, told_at(started))
        return Receipt(
            v=RECEIPT_VERSION,
            job_id=reservation.job_id,
            attempt=reservation.attempt,
            workflow=workflow,
            task=task,
            outcome=outcome,
            started_at=began_at,
            ended_at=max(began_at, time.time() - ahead_s),
            node=self._node,
            worker=self._worker,
            devices=reservation.devices,
            uuids=reservation.uuids,
            asked=asked(started),
            line=line_hash(started.line),
            **waits_of(reservation, began_at),
        )


def told_at(started: Started) -> float:
    """When the ledger started it, by its own clock."""
    return started.reservation.started_at or started.reservation.admitted_at


def waits_of(reservation: Reservation, began_at: float) -> dict[str, Any]:
    """From its dispatch on; the times before an attempt of a retry are in it too."""
    if not reservation.since:
        return {}
    waited_s = round(max(0.0, began_at - reservation.since), 3)
    return {"waited_s": waited_s, "waited_for": reservation.waited_for}


def scrubbed_tags(media: Mapping[str, MediaFact]) -> dict[str, MediaFact]:
    return {path: msgspec.structs.replace(fact, tags=scrub_all(fact.tags)) for path, fact in media.items()}


def checked_s(attempt: Attempt) -> float:
    return round(max(0.0, time.time() - attempt.body_ended_at), 3) if attempt.body_ended_at else 0.0


def over_reservation(reservation: Reservation, usage: Usage) -> str:
    """«held 8.0 GiB of memory where 300 MiB were reserved», of a job that was to hold a certain amount."""
    taken = [("memory", usage.rss_mib, reservation.ram_mib)]
    if reservation.devices:
        taken.append(("VRAM", usage.vram_mib, reservation.vram_mib))
    return ", ".join(
        f"held {size(held << 20)} of {what} where {size(word << 20)} were reserved"
        for what, held, word in taken
        if held is not None and word and is_over_reservation(held, word)
    )


def asked(started: Started) -> AdmittedNeeds | None:
    """What it was admitted as; None where that says nothing."""
    c, reservation = started.job_class, started.reservation
    found: dict[str, Any] = {
        "size": c.size,
        "duration_s": c.duration_s,
        "writes_bytes": sum(c.writes.values()),
    }
    found["kind"] = "" if c.kind == c.task else c.kind
    # What it takes from an API's budget is in its line, and no memory or disk.
    needs = msgspec.structs.replace(c.needs, rates={}, engines=(), engine="")
    if needs != Needs():
        found["needs"] = needs
    if reservation.devices and reservation.vram_mib != c.needs.vram_mib:
        found["vram_mib"] = reservation.vram_mib
    if reservation.ram_mib != c.needs.ram_mib:
        found["ram_mib"] = reservation.ram_mib
    # Only what is not the default: every receipt has this, and a float is written even where it equals it.
    known = {name: value for name, value in found.items() if value or name in ("vram_mib", "ram_mib")}
    return AdmittedNeeds(**known) if known else None
