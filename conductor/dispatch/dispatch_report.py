"""What became of a manifest that was dispatched, as a value and in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import structs

from conductor.base.text import many
from conductor.dispatch.dead_ends import DeadEnds
from conductor.model.ledger_entries import Revised
from conductor.model.spec import Value

DONE, FOUND = 0, 1


class Dispatched(Value, frozen=True, kw_only=True):
    """Of the `new` ones, `done` went in as done: their receipts are there. `known` are all that were there
    before.
    """

    new: int
    known: int
    done: int = 0
    #: Jobs that run again, since what they made was removed and is read again.
    again: int = 0
    #: Of the known ones: what is another now.
    revised: Revised = Revised()
    ends: DeadEnds = DeadEnds()
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Jobs that stay in another backlog are not dispatched to this one: a conductor of it would never
        run them.
        """
        return FOUND if self.revised.elsewhere else DONE


def added(parts: Sequence[Revised]) -> Revised:
    """Of all batches."""
    elsewhere: Counter[str] = Counter()
    for part in parts:
        elsewhere.update(part.elsewhere)
    return Revised(
        changed=sum(part.changed for part in parts),
        risen={job_id: attempts for part in parts for job_id, attempts in part.risen.items()},
        going=sum(part.going for part in parts),
        done=sum(part.done for part in parts),
        moved=sum(part.moved for part in parts),
        elsewhere=dict(elsewhere),
    )


def summed(result: Dispatched, backlog: str, is_dry_run: bool) -> str:
    """The line that a dispatch ends with."""
    done = f" ({result.done} of them done already, by their receipts)" if result.done else ""
    revised = result.revised
    words = [f"{result.new} new{done}", f"{result.known} known"]
    if revised.changed:
        back = f" ({len(revised.risen)} of them wait again)" if revised.risen else ""
        words.append(f"{revised.changed} changed{back}")
    words += [f"{revised.moved} moved here"] if revised.moved else []
    words += [f"{result.ends.jobs} dead or cancelled"] if result.ends.jobs else []
    return f"backlog:{backlog}: {'would put ' if is_dry_run else ''}{', '.join(words)}"


def to_json(result: Dispatched) -> dict[str, object]:
    """The same for programs."""
    revised = result.revised
    return {
        "new": result.new,
        "known": result.known,
        "done": result.done,
        "again": result.again,
        "changed": revised.changed,
        "sent_back": list(revised.risen),
        "keep_their_line": revised.going,
        "moved": revised.moved,
        "elsewhere": dict(revised.elsewhere),
        "dead": result.ends.jobs,
        "dead_of": [structs.asdict(root) for root in result.ends.roots],
    }


def notes(result: Dispatched, backlog: str) -> Iterator[str]:
    """What the person who dispatched should know beyond it, the most urgent first."""
    revised = result.revised
    if not result.new + result.known:
        yield "the manifest holds no jobs: nothing was dispatched"
    for name, jobs in revised.elsewhere.items():
        verb = "is" if jobs == 1 else "are"
        yield (
            f"{many(jobs, 'job')} {verb} known in backlog:{name} and {verb} not put here: conduct that "
            "one, or bring "
            f"what waits there: conductor dispatch --move --target backlog:{backlog} MANIFEST"
        )
    if sentence := result.ends.sentence():
        yield sentence
    if revised.going:
        yield (
            f"{many(revised.going, 'job')} with another line than before "
            f"{'runs' if revised.going == 1 else 'run'} now "
            "and keep the line they have; dispatch it again if they fail"
        )
    if revised.done:
        yield f"{many(revised.done, 'job')} with another line than before: done already, nothing to do"
    yield from result.warnings
