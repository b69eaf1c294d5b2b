"""Receipts of workers that died before the ledger heard of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
from builders import a_spec

from conductor.adapters.files.receipt_log import FileReceiptLog, accepted, read_receipts
from conductor.base.files.paths import KEPT
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.receipt import MOST_UNHEARD, Receipt
from conductor.model.spec import to_line
from conductor.node.cleanup.orphaned_receipts import last_receipts, settle, settle_all, sweep
from conductor.ports import Ledger


def a_receipt(job_id: str, attempt: int = 1, **changes: object) -> Receipt:
    plain = Receipt(
        v=1,
        job_id=job_id,
        attempt=attempt,
        workflow="w",
        task="t",
        outcome="ok",
        started_at=1.0,
        ended_at=2.0,
        node="n",
        worker="w",
    )
    return msgspec.structs.replace(plain, **changes)


def put(ledger: Ledger, n: int) -> str:
    spec = a_spec(n)
    job_class = class_of(spec, load_catalogue()[spec.task], "night")
    ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
    return spec.id


def test_a_receipt_that_nobody_heard_of_is_handed_in(memory_ledger: Ledger, tmp_path: Path):
    job_id = put(memory_ledger, 1)
    log = FileReceiptLog(tmp_path, "n-w1")
    log.append(a_receipt(job_id))

    assert settle(memory_ledger, log) == (a_receipt(job_id),)

    assert memory_ledger.tallies.counts()["done"] == 1
    assert len(list(read_receipts(tmp_path))) == 1


def test_all_that_a_worker_hands_in_together_is_handed_in_for_it(memory_ledger: Ledger, tmp_path: Path):
    job_ids = [put(memory_ledger, n) for n in range(MOST_UNHEARD)]
    log = FileReceiptLog(tmp_path, "n-w1")
    log.extend(a_receipt(job_id, result={"text": "x" * 10_000}) for job_id in job_ids)

    assert [receipt.job_id for receipt in settle(memory_ledger, log)] == job_ids

    assert memory_ledger.tallies.counts()["done"] == MOST_UNHEARD


def test_a_receipt_that_came_second_is_taken_back(memory_ledger: Ledger, tmp_path: Path):
    job_id = put(memory_ledger, 1)
    memory_ledger.attempts.accept(a_receipt(job_id, 2))
    FileReceiptLog(tmp_path, "n-w2").append(a_receipt(job_id, 2))
    FileReceiptLog(tmp_path, "n-w1").append(a_receipt(job_id, 1))

    for _ in range(2):
        assert {r.job_id for r in settle_all(memory_ledger, tmp_path, "n")} == {job_id}

    assert accepted(read_receipts(tmp_path))[job_id].attempt == 2
    assert [r.outcome for r in read_receipts(tmp_path)] == ["ok", "superseded", "ok"]


def test_what_was_taken_back_elsewhere_is_not_handed_in_again(memory_ledger: Ledger, tmp_path: Path):
    job_id = put(memory_ledger, 1)
    FileReceiptLog(tmp_path, "n-w1").append(a_receipt(job_id))
    FileReceiptLog(tmp_path, "verify").append(a_receipt(job_id, outcome="superseded"))

    list(settle_all(memory_ledger, tmp_path, "n"))

    assert memory_ledger.tallies.counts()["waiting"] == 1


def test_a_torn_line_is_no_receipt(tmp_path: Path):
    log = FileReceiptLog(tmp_path, "n-w1")
    log.append(a_receipt("a" * 24))
    whole = log.file.read_bytes()
    log.file.write_bytes(whole + whole[:-10])

    assert last_receipts(log.file) == (a_receipt("a" * 24),)
    assert last_receipts(tmp_path / "none.jsonl") == ()


def test_the_folder_of_an_ended_attempt_is_swept_but_not_what_is_kept_for_its_nas(tmp_path: Path):
    ended, kept = tmp_path / ".tmp" / f"{'a' * 24}.1.0a1b2c3d", tmp_path / ".tmp" / f"{'b' * 24}.1.0a1b2c3d"
    later = tmp_path / ".tmp" / f"{'a' * 24}.11.0a1b2c3d"
    for folder in (ended, kept, later):
        folder.mkdir(parents=True)
    (kept / KEPT).write_text("{}")

    for folder in (ended, kept):
        sweep([tmp_path], folder.name.removesuffix(".1.0a1b2c3d"), 1)

    assert [folder.exists() for folder in (ended, kept, later)] == [False, True, True]
