"""What the machine asks for. Who carries an action out feeds back what came of it; the last line of each says
how.

Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from conductor.model.ledger_entries import FinishAnswer, Preloaded, Started, WorkerTurn
    from workers.attempt.attempt import Attempt
    from workers.attempt.outcome import Done, Unpublished
    from workers.isolation.held_attempt import Held
    from workers.machine.held_attempts import AttemptEnd
    from workers.task_api.failure_causes import AttemptFault

# ── with the ledger ───────────────────────────────────────────────────────────────────────────────────────


class Take(Struct, frozen=True):
    """Nothing is in hand: wait for an entry of the queue, with this turn behind it.

    → `LedgerTurns.taken`; where its answer was lost, nothing: then it is asked for with the same turn again.
    """

    turn: WorkerTurn


class Recall(Struct, frozen=True):
    """Before this worker leaves: what came of the turn behind a take whose answer was lost.

    → `LedgerTurns.taken`, or `LedgerTurns.lost`."""


class PutBack(Struct, frozen=True):
    """The last action: what was taken from the queue and not started goes back to it. → `LedgerTurns.lost`"""


class SendTurn(Struct, frozen=True):
    """This turn, after a pause. → `LedgerTurns.answered`, or `LedgerTurns.unreachable`"""

    turn: WorkerTurn
    wait_s: float


class Understand(Struct, frozen=True):
    """The ledger has started these: make attempts of them. One that must not run here fails at once.

    → `LedgerTurns.understood`"""

    started: tuple[Started, ...]
    valid_until: float


class HoldLeases(Struct, frozen=True):
    """Renew these leases from now on. With them all that the ledger's `step` came with is held."""

    helds: tuple[Held, ...]
    step: int


class ReleaseLeases(Struct, frozen=True):
    """The ledger knows of their ends: renew them no more."""

    helds: tuple[Held, ...]


class Write(Struct, frozen=True):
    """Receipts to disk: from then on these results count, whoever is killed. → `LedgerTurns.written`"""

    done: tuple[Done, ...]


class HandIn(Struct, frozen=True):
    """The ledger has these receipts; None: it could not be asked. → `LedgerTurns.handed_in`"""

    done: tuple[Done, ...]
    answers: tuple[FinishAnswer | None, ...]


class Fail(Struct, frozen=True):
    """The ledger is to hear that this attempt did not end well, or it is dropped. →
    `WorkerMachine.settled`
    """

    unpublished: Unpublished


class Disown(Struct, frozen=True):
    """It is none of the ledger's: whatever its body makes is not to be published."""

    attempt: Attempt


# ── with the child ────────────────────────────────────────────────────────────────────────────────────────


class Give(Struct, frozen=True):
    """To the child, in this order, until one cannot be given.

    → for each `ChildRow.given`, or the last: `over_unbegun`, `false_start`, `stays`"""

    attempts: tuple[Attempt, ...]


class Preload(Struct, frozen=True):
    """The successor is to lie ready behind `running`. → `ChildRow.given`, or `WorkerMachine.not_preloaded`"""

    word: Preloaded
    started: Started
    running: Attempt


class Doubt(Struct, frozen=True):
    """May this successor still begin without the ledger's word? → `WorkerMachine.doubted`"""

    successor: Attempt


class LookAtBody(Struct, frozen=True):
    """It has taken long by the clock, and others wait behind it: has it had a core? → `ChildRow.looked`"""


class Begin(Struct, frozen=True):
    """What `ended` printed (up to `log_bytes`, or now) is its own; then `begins` has its turn."""

    begins: Attempt | None
    ended: Attempt | None = None
    log_bytes: int | None = None


class Listen(Struct, frozen=True):
    """For `nap_s` to the clock alone; then to the child until it has said something, somebody wakes us, or
    the time is up (`until`, or after `limit_s`).

    → `ChildRow.progressed`, `passed`, `ended` (once), `gone`; at last `WorkerMachine.listened`"""

    until: float
    limit_s: float | None = None
    nap_s: float = 0.0


class TakeBack(Struct, frozen=True):
    """What has not begun (the last `most`) is not to begin. → `ChildRow.took_back`"""

    most: int | None


class StopBody(Struct, frozen=True):
    """The body that runs is asked to leave."""


class KillChild(Struct, frozen=True):
    """The child and all below it. → `ChildRow.gone`"""

    fault: AttemptFault


class FindFault(Struct, frozen=True):
    """This one ran when the child went: why did it? None: to be found out. → `ChildRow.blamed`"""

    attempt: Attempt
    fault: AttemptFault | None


class Publish(Struct, frozen=True):
    """Put in place what it made, if it ended well. `follower` runs by now, and may use its own share.

    → `WorkerMachine.published`, or `WorkerMachine.unpublished`"""

    end: AttemptEnd
    follower: Attempt | None


Idle = Take | Recall | PutBack
LedgerAction = Idle | SendTurn | Understand | HoldLeases | ReleaseLeases | Write | HandIn | Fail | Disown
ToBody = Give | Preload | Begin | TakeBack | StopBody
ChildAction = ToBody | Doubt | LookAtBody | Listen | KillChild | FindFault | Publish
Action = LedgerAction | ChildAction
