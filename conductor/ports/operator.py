"""The operator's words, and what is known of kinds of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor.model.causes import Cause
from conductor.model.ledger_entries import NO_WAITS, JobState, Waits
from conductor.model.snapshot import Controls, JobClass, KindState
from conductor.model.spec import Lane


class Control(Protocol):
    """The operator's word on lanes, devices, nodes, and the whole."""

    def controls(self) -> Controls: ...

    def set_paused(self, lane: Lane, is_paused: bool) -> None: ...

    def set_backlog_paused(self, backlog: str, is_paused: bool) -> None: ...

    def set_device_paused(self, place: str, is_paused: bool) -> int:
        """`place`: «NODE/gpu0». Resuming is also the word that a quarantined device is to be used all the
        same: the number of that word, each above all before it, also above those that a Redis forgot. 0: it
        was a pause."""
        ...

    def resumed(self) -> dict[str, int]:
        """Place → the operator's last word that it is to be used."""
        ...

    def say_resumed(self, place: str, word: int) -> bool:
        """Say that very word once more, where it was forgotten. Was it."""
        ...

    def set_draining(self, is_draining: bool, node: str | None = None) -> None: ...


class JobPriorities(Protocol):
    """The operator's word on who goes first."""

    def prioritise(self, job_id: str, priority: int) -> JobState | None:
        """waiting, dead, cancelled or in review: goes as of that priority (-1000 to 1000) from now on, or of
        a higher one that is handed down to it; what it waits for goes at least as it does. The state it has,
        None if unknown; admitted, running and done are left as they are."""
        ...


class JobCommands(Protocol):
    """The operator's word on one job."""

    def cancel(self, job_id: str) -> JobState | None:
        """waiting or admitted → cancelled; running is told at its next renewal. The state it had, None if
        unknown.
        """
        ...

    def fail(self, job_id: str, cause: Cause, message: str) -> JobState | None:
        """waiting or admitted → dead; running is told at its next renewal, and dead when its attempt has
        ended.
        """
        ...

    def requeue(self, job_id: str) -> JobState | None:
        """admitted → waiting at no cost; running is told, and waiting when its attempt has ended; no
        back-off.
        """
        ...

    def asked(self) -> dict[str, str]:
        """Running jobs that are being stopped → cancel, fail or requeue."""
        ...

    def redo(
        self,
        job_id: str,
        attempt: int,
        after: Sequence[str] = (),
        after_ended: Sequence[str] = (),
        own: Waits = NO_WAITS,
        *,
        is_forced: bool = False,
    ) -> bool:
        """done by `attempt`, whose receipt was taken back → waiting. `after`: jobs that come after it; those
        of them that are not done wait for it again. `own`: what it comes after itself, as far as it is to be
        made again too. False when it is not done by that attempt; also (unless `is_forced`) while a file of
        it is being removed."""
        ...

    def retry(self, job_id: str) -> bool:
        """dead, cancelled or in review → waiting, with its failures forgotten; who went there with it
        comes along.
        """
        ...

    def reclass(self, job_id: str, job_class: JobClass) -> bool:
        """waiting, dead, cancelled or in review: into that class of its backlog. False: in flight, done or
        unknown.
        """
        ...


class Breakers(Protocol):
    """Canaries and breakers. What is counted of a kind is counted in the steps that end its attempts."""

    def states(self) -> tuple[tuple[KindState, ...], dict[str, int]]:
        """Of every kind that has canaries or failed lately; and backlog → jobs in review."""
        ...

    def review(self, epoch: int, kind: str, most: int) -> int:
        """waiting → review: at most so many jobs of a kind, and with each those that come after it. How many
        it was.

        Raises `Fenced`."""
        ...

    def in_review(self, backlog: str | None = None) -> dict[str, int]:
        """Kind → jobs in review, those that only come after others among them. Costs by their number."""
        ...

    def resume(self, kind: str) -> int:
        """The operator's word: closed kinds (of that name, or of the task of that name) are tried at once.
        How many.
        """
        ...
