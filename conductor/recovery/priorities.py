"""Priorities that the operator gave, into a ledger that was made again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from conductor.base.errors import ManifestError
from conductor.ports import Ledger
from conductor.record.dispatched_manifests import Source
from conductor.record.journal_notes import Note
from conductor.record.manifest import read


def last_priorities(notes: Iterable[Note]) -> dict[str, tuple[int, int]]:
    """Job → the number of the last word on its priority, and the priority."""
    said: dict[str, tuple[int, int]] = {}
    for note in notes:
        if note.what == "prioritised":
            said.update(dict.fromkeys(note.ids, (note.n, note.priority)))
    return said


def prioritise_again(
    ledger: Ledger, notes: Iterable[Note], sources: Sequence[Source], wanted: Collection[str]
) -> None:
    """Of the jobs that are `wanted`. A dispatch that came after the word has the last one: it says what the
    line asks."""
    said = {job_id: word for job_id, word in last_priorities(notes).items() if job_id in wanted}
    for source in sources:
        late = {job_id for job_id, (number, _) in said.items() if number < source.order}
        if late and (content := source.content()) is not None:
            try:
                late &= {spec.id for spec in read(content)}
            except ManifestError:
                continue
            for job_id in late:
                del said[job_id]
    for job_id, (_, priority) in said.items():
        ledger.priorities.prioritise(job_id, priority)
