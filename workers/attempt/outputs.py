"""The outputs of an attempt: all of one receipt come from one body, and what stands there and is not ours
stays.

The order bears a kill at any point: hashed and synced, noted (`kept.json`), then named one by one. Who finds
a file of an earlier body under the first name, that has no receipt yet, ends that body's publication instead
of its own: the first one to publish wins, whole. By the note it is known as ours, on every kind of file
system; by the mark, or by what other receipts say, only whose it is.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from msgspec.structs import replace

from conductor.base.errors import NameTaken
from conductor.model.spec import JobSpec
from workers.attempt import publish
from workers.attempt import saved_outputs as notes
from workers.attempt.atomic_link import Translated
from workers.attempt.existing_outputs import Claims, ExistingFile, NotOurs, move_aside
from workers.attempt.saved_outputs import SavedResult

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout


def put_in_place(layout: Layout, spec: JobSpec, computed: SavedResult) -> SavedResult:
    """Publish what a body computed; whose outputs stand there when this returns, with that body's own result.

    Raises `JobError` for an output that was not written, `NoSpace`, `PublishFailed` while a root is not
    there, and `NameTaken` where something stands that no body of this job made.
    """
    tried: set[str] = set()
    moved: set[str] = set()
    while True:
        notes.check_there(layout, computed)
        computed = replace(computed, outputs=publish.whole(layout, spec, computed.body, computed.outputs))
        try:
            if spec.writes and not tried:
                _note(layout, spec, computed)
            publish.put(layout, spec, computed.body, computed.outputs)
            return computed
        except NotOurs as e:
            existing = e.existing
        tried.add(computed.body)
        earlier = _earlier(layout, spec, existing, tried)
        if earlier is not None:
            computed = earlier
        elif existing.path in moved or not _give_way(layout, spec, existing):
            raise NameTaken(Claims(layout, spec, existing).words())
        else:
            moved.add(existing.path)


def _note(layout: Layout, spec: JobSpec, computed: SavedResult) -> None:
    with Translated(", ".join(output.path for output in spec.writes)):
        notes.note(layout, spec, notes.with_stamps(layout, spec, computed))


def _earlier(layout: Layout, spec: JobSpec, existing: ExistingFile, tried: Set[str]) -> SavedResult | None:
    """The body of this job that made what stands there: by its note, or by its receipt."""
    for note in notes.notes(layout, spec):
        if note.body not in tried and existing.fact in note.outputs:
            return note
    receipt = Claims(layout, spec, existing).own()
    if receipt is None or receipt.body in tried:
        return None
    files = {fact.path: "" for fact in receipt.outputs}
    return SavedResult(
        body=receipt.body,
        result=receipt.result,
        review=receipt.review,
        usage=receipt.usage,
        files=files,
        outputs=receipt.outputs,
        media=receipt.media,
    )


def _give_way(layout: Layout, spec: JobSpec, existing: ExistingFile) -> bool:
    """What this job made before it was sent back to be done again makes room; its receipt was taken back."""
    receipt = Claims(layout, spec, existing).own_taken_back()
    if receipt is None:
        return False
    move_aside(layout, spec.id, receipt.body, existing.path)
    return True
