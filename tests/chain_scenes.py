"""Jobs with files in a ledger, by short names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from ledger_scenes import NODE, LedgerScene, a_receipt, an_entry, an_id

from conductor.model.chains import Chain, FileJob
from conductor.model.ledger_entries import Entry, EntryFiles
from conductor.model.receipt import OutputFact


def path(name: str) -> str:
    return f"scratch:{name}"


def with_files(
    name: str,
    reads: Sequence[str] = (),
    writes: Mapping[str, int] | None = None,
    readers: Mapping[str, Sequence[str]] | None = None,
    **more: object,
) -> Entry:
    """Files by short names; it comes after nothing unless `after` says so."""
    job = FileJob(
        job_id=an_id(name),
        reads=tuple(map(path, reads)),
        writes={path(file): size for file, size in (writes or {}).items()},
    )
    known = {path(file): tuple(map(an_id, names)) for file, names in (readers or {}).items()}
    done = {path(file): size for file, size in (writes or {}).items()} if more.get("is_done") else {}
    return an_entry(name, files=EntryFiles(job=job, readers=known, node=NODE, outputs=done), **more)


def a_pair(scene: LedgerScene) -> None:
    """`w` writes x, which `r` reads."""
    scene.put(
        with_files("w", writes={"x": 10}, readers={"x": ["r"]}),
        with_files("r", reads=["x"], after=(an_id("w"),)),
    )


def done(scene: LedgerScene, name: str, attempt: int = 1, **outputs: int) -> None:
    """Run it to its accepted receipt, with files of these sizes."""
    scene.run(name, attempt)
    facts = tuple(OutputFact(path=path(file), bytes=size, sha256="0" * 64) for file, size in outputs.items())
    receipt = msgspec.structs.replace(a_receipt(name, attempt), outputs=facts)
    assert scene.ledger.attempts.accept(receipt) == "accepted"
    scene.check()


def chains(scene: LedgerScene, *heads: str) -> tuple[Chain, ...]:
    return scene.ledger.waiting.chain_states([an_id(name) for name in heads]).chains


def chain(scene: LedgerScene, *heads: str) -> Chain:
    (only,) = chains(scene, *heads)
    return only


def removable(scene: LedgerScene) -> int:
    return scene.ledger.files.removable(NODE, ["scratch", "published"]).get("scratch", 0)


def begin_removal(scene: LedgerScene, wanted: int = 10**9) -> list[str]:
    return [fact.path for fact in scene.ledger.files.begin_removal(NODE, "scratch", wanted)]
