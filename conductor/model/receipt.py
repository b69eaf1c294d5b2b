"""Receipt: what one attempt did. Appended to a durable file before the job counts as done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from conductor.model.causes import Cause
from conductor.model.media import MediaFact
from conductor.model.review import ItemVerdict, ReviewAsked
from conductor.model.spec import Count, Exchanged, JobId, Needs, Seconds

RECEIPT_VERSION = 1
#: A worker hands in no more than so many together: of one that was killed, so many may be on disk and unheard
#: of.
MOST_UNHEARD = 64

#: ok: the outputs are in place. failed: this attempt did not make it. superseded: another attempt's receipt
#: was accepted first; this line takes back the `ok` of the same job and body. review: the outputs are in
#: place, and a person has to say whether they are good: then a second line of the same body is `ok` or
#: `failed`, with the verdicts. verdict: a person's word on an item, while others are open.
Outcome = Literal["ok", "failed", "superseded", "review", "verdict"]


def body_of(attempt: int, token: str) -> str:
    """Which body of a job: ATTEMPT.TOKEN, as its folders and the ledger have it; ATTEMPT where it has no
    token.
    """
    return f"{attempt}.{token}" if token else str(attempt)


def number_of(body: str) -> int:
    """The attempt of a body."""
    return int(body.partition(".")[0])


class OutputFact(Exchanged, frozen=True, kw_only=True):
    """One published file as it was when it was published."""

    path: str
    bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Usage(Exchanged, frozen=True, kw_only=True):
    """Peaks of one attempt; None where it could not be measured (never 0 for unknown)."""

    #: Per device: the most on any one of them.
    vram_mib: int | None = None
    #: Of a job on several devices: device key → its peak there, MiB.
    vram_on: dict[str, int] = {}
    rss_mib: int | None = None
    scratch_bytes: int | None = None
    cpu_s: float | None = None
    #: Of all API calls of the attempt, as the servers counted them.
    tokens: int | None = None
    #: Rate key → USD, by the prices of conductor.toml.
    spend: dict[str, float] = {}


class AdmittedNeeds(Exchanged, frozen=True, kw_only=True):
    """What the attempt was admitted as: what its use is to be compared with (`core.needs.estimates`)."""

    #: Of its class; empty: the task's name.
    kind: str = ""
    size: float = 0.0
    duration_s: float = 0.0
    needs: Needs = Needs()
    #: Bytes planned for its outputs, on all disks.
    writes_bytes: Count = 0
    #: What was reserved where that differs from `needs`: it was learned.
    vram_mib: int | None = None
    ram_mib: int | None = None


class Receipt(Exchanged, frozen=True, kw_only=True):
    """One line of `receipts/*.jsonl`. Times are epoch seconds."""

    v: Literal[1]
    job_id: JobId
    attempt: Annotated[int, Meta(ge=1)]
    #: Of its body: a ledger that forgot its last second may give a number out twice, nobody draws a token
    #: twice.
    token: Annotated[str, Meta(pattern=r"^([0-9a-f]{8})?$")] = ""
    workflow: str
    task: str
    outcome: Outcome
    cause: Cause | None = None
    message: str = ""
    started_at: float
    ended_at: float
    node: str
    worker: str
    devices: tuple[str, ...] = ()
    #: The cards that these were then.
    uuids: tuple[str, ...] = ()
    outputs: tuple[OutputFact, ...] = ()
    #: Path of an output → what the worker counted in it before it was published.
    media: dict[str, MediaFact] = {}
    #: What the task returned: small JSON (a lifecycle, a provider, a count). Never a secret.
    result: dict[str, Any] = {}
    usage: Usage = Usage()
    #: None: a class that asks nothing and is not told from others of its task.
    asked: AdmittedNeeds | None = None
    code_version: str = ""
    #: Of the line that it ran (`model.identity.line_hash`); empty: nobody said.
    line: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?$")] = ""
    exit_code: int | None = None
    #: Of a body that raised: «KeyError at render.py:17», the innermost line of the task's own code.
    raised_at: str = ""
    #: What it held beyond what was reserved for it, in words; empty: it kept its word.
    beyond: str = ""
    #: Processes that its body left running, as `ps` names them; they were ended with it.
    left_running: tuple[str, ...] = ()
    #: A failure that does not go away by itself: the job is dead at once, whatever its budget.
    is_lasting: bool = False
    #: A failure that is not its own (others took the device's memory, the operator took it back): it cost no
    #: retry.
    is_free: bool = False
    #: For so long of it the body stood still, because its host was somebody else's.
    frozen_s: Seconds = 0.0
    #: From its dispatch to the start of this attempt, and gate → seconds of that for which it was closed;
    #: gates that were closed together count each. None: the hand-over did not say.
    waited_s: Seconds | None = None
    waited_for: dict[str, Seconds] = {}
    #: Of the time after its body had ended: its outputs were looked through and put in place.
    checked_s: Seconds = 0.0
    #: What the body shows to a person.
    review: ReviewAsked | None = None
    #: What was said to it.
    verdicts: tuple[ItemVerdict, ...] = ()

    @property
    def body(self) -> str:
        """With the job's id: what a receipt is known by."""
        return body_of(self.attempt, self.token)

    @property
    def is_whole(self) -> bool:
        """Its outputs were put in place, and are good as far as the task can tell."""
        return self.outcome in ("ok", "review")

    @property
    def takes_back(self) -> bool:
        """Nothing that this body made counts any more: another came first, or a person rejected it."""
        return self.outcome == "superseded" or (self.outcome == "failed" and bool(self.verdicts))

    @property
    def is_repeated(self) -> bool:
        """What it says of the attempt itself (its use, its length) an earlier line of the body has said."""
        return bool(self.verdicts)

    @property
    def told_at(self) -> float:
        """When this line was written: a verdict comes long after the attempt has ended."""
        return max((self.ended_at, *(verdict.at for verdict in self.verdicts)))

    @property
    def seconds(self) -> Seconds:
        return max(0.0, self.ended_at - self.started_at - self.frozen_s)
