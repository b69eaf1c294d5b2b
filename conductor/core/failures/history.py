"""What a job's receipts say of its failures: the verdict the ledger came to before it was emptied. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Literal, NamedTuple

from conductor.core.failures.retry import after_failure
from conductor.core.needs.escalation import raised, with_at_least
from conductor.core.needs.learned_amounts import RAN_OUT_OF, RESERVED, Largest
from conductor.model.causes import Cause
from conductor.model.failure_outcome import Retry
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.snapshot import JobClass

#: A job that comes back from its receipts goes on from the next multiple: no number that a worker may still
#: hold, without a receipt, is given out again. Known to `adapters/redis/lua/base.lua` too.
GENERATION_STEP = 100


def next_generation_number(highest: int) -> int:
    """The attempts that a job is said to have had, above all that may have been handed out."""
    return (highest // GENERATION_STEP + 1) * GENERATION_STEP


def tries(number: int, known: Iterable[int]) -> int:
    """How often a job was tried up to the attempt of that number; `known`: the numbers its receipts tell of.

    Numbers leap to a multiple of `GENERATION_STEP` when Redis is emptied. What left no receipt counts where a
    later one shows it.
    """
    known = {*known}
    # Since the rebuild it waits: this number was given to nobody.
    numbers = known if number % GENERATION_STEP == 0 and number not in known else known | {number}
    count = before = 0
    for each in sorted(n for n in numbers if n <= number):
        first = (each - 1) // GENERATION_STEP * GENERATION_STEP
        count += each - (first if first >= before and each - before > 1 else before)
        before = each
    return count


def said(number: int, known: Iterable[int]) -> str:
    """«attempt 3», «attempt 3 (numbered 101)»."""
    count = tries(number, known)
    return f"attempt {count}" if count == number else f"attempt {count} (numbered {number})"


def named(number: int) -> str:
    """Where the others are not known: a number beyond a life is only said to be one."""
    return f"attempt {number}" if number <= GENERATION_STEP else f"the attempt numbered {number}"


def named_all(numbers: Iterable[int]) -> str:
    """«attempts 1, 2», «attempts numbered 1, 101»."""
    ordered = sorted(numbers)
    return f"attempts {'numbered ' if ordered[-1] > GENERATION_STEP else ''}{', '.join(map(str, ordered))}"


def twofold(numbers: Sequence[int]) -> str:
    """Several receipts of one job stand: what that is, and what to do."""
    different = {*numbers}
    which = named(numbers[0]) if len(different) == 1 else named_all(different)
    which = which if len(different) == len(numbers) else f"{len(numbers)} receipts of {which}"
    return (
        f"{which} each count as done: it ran more than once, and nobody knows which of them made "
        "what is there; "
        "`conductor retry --missing MANIFEST` has it made again"
    )


def is_unheard(state: str, attempts: int, attempt: int) -> bool:
    """Does a worker run an attempt that the ledger does not know? The ledger was emptied (a job that waits
    again tells no more), or it stepped back: it has forgotten the start of the attempt, or knows an older
    attempt."""
    if state == "waiting":
        return attempts < attempt or (attempts > 0 and attempts % GENERATION_STEP == 0)
    return attempts < attempt if state == "running" else state == "admitted" and attempts <= attempt


class Failure(NamedTuple):
    attempt: int
    cause: Cause
    message: str
    #: Epoch seconds.
    ended_at: float = 0.0
    usage: Usage = Usage()
    asked: AdmittedNeeds | None = None
    is_lasting: bool = False
    #: It was others' fault: it cost no retry.
    is_free: bool = False


class HistoryVerdict(NamedTuple):
    over: Literal["dead", "cancelled"] | None = None
    failures: Mapping[Cause, int] = {}
    cause: Cause | None = None
    message: str = ""
    #: Epoch seconds: until then it waits out its back-off.
    not_before: float | None = None


def lessons(
    job_class: JobClass, failed: Iterable[Failure], largest: Largest
) -> tuple[JobClass, frozenset[int]]:
    """What failed attempts taught of a job's needs: the class of its next attempt, and the attempts after
    which there can be none. Of what no node reports nothing is learned: nobody would say what cannot be had.

    The operator's `retry` forgives failures, and forgets no lesson.
    """
    hopeless: set[int] = set()
    for failure in sorted(failed, key=lambda failure: failure.attempt):
        row = RAN_OUT_OF.get(failure.cause)
        if row is None or row.name not in largest:
            continue
        asked = as_admitted(job_class, failure.asked)
        lesson = raised(failure.cause, asked, failure.usage, largest, is_crowded=failure.is_free)
        job_class = lesson.job_class or job_class
        if lesson.hopeless:
            hopeless.add(failure.attempt)
    return job_class, frozenset(hopeless)


def as_admitted(job_class: JobClass, asked: AdmittedNeeds | None) -> JobClass:
    """With what its receipt says was reserved, where that was more (`core.needs.escalation.as_reserved`)."""
    if asked is None:
        return job_class
    return with_at_least(
        job_class, {row.name: max(getattr(asked.needs, row.name), row.reserved(asked)) for row in RESERVED}
    )


def verdict(
    failed: Sequence[Failure],
    overrides: Mapping[Cause, int],
    forgiven: int = 0,
    cancelled: int | None = None,
    hopeless: Set[int] = frozenset(),
) -> HistoryVerdict:
    """`failed`: the failed attempts of a job that is not done. `overrides` replace budgets.

    `forgiven`: up to that attempt the operator has sent it back. `cancelled`: that many attempts had been
    made when it was cancelled. A failure that was final and yet was followed by another attempt had been
    forgiven too. `hopeless`: attempts that had all there is, and not enough.
    """
    failures: Counter[Cause] = Counter()
    over: Literal["dead", "cancelled"] | None = None
    last: Failure | None = None
    not_before: float | None = None
    for failure in sorted(failed, key=lambda failure: failure.attempt):
        if failure.attempt <= forgiven or (last is not None and failure.attempt == last.attempt):
            continue
        if over is not None:
            failures.clear()
        then = after_failure(
            failure.cause, failures, overrides, is_lasting=failure.is_lasting, is_free=failure.is_free
        )
        is_dead = not isinstance(then, Retry) or failure.attempt in hopeless
        not_before = failure.ended_at + then.delay_s if isinstance(then, Retry) and then.delay_s else None
        if not failure.is_free:
            failures[failure.cause] += 1
        over = "cancelled" if failure.cause == "cancelled" else "dead" if is_dead else None
        last = failure
    if cancelled is not None and (last is None or last.attempt <= cancelled):
        return HistoryVerdict("cancelled", dict(failures), "cancelled", "by the operator")
    if last is None:
        return HistoryVerdict()
    return HistoryVerdict(over, dict(failures), last.cause, last.message, None if over else not_before)
