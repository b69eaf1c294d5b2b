"""What `conductor rebuild` could not bring back as it was, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conductor.dispatch.rerun_writers import Remade
from conductor.ports import Ledger
from conductor.record.dispatched_manifests import Source


def lost_files(remade: Remade) -> Iterator[str]:
    for path, readers in sorted(remade.lost.items()):
        yield (
            f"{path} was removed and is read by {readers[0]}; the job that made it is in no manifest "
            "that was given"
        )


def warnings(ledger: Ledger, sources: Sequence[Source], outside: set[str]) -> Iterator[str]:
    for source in sources:
        if source.kept is None and source.content() is None:
            yield (
                f"{source.manifest} is not as it was when it was dispatched, and that is kept nowhere: it "
                "was rebuilt "
                "as it is now; what it no longer names is not in the backlog"
            )
    for other in sorted(outside):
        if ledger.jobs.job(other) is None:
            yield f"{other} is waited for, and is in no manifest that was given"
