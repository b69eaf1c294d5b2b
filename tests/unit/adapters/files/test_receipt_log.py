"""Receipts on disk: a torn tail is tolerated and repaired; what counts is decided by one rule."""

from __future__ import annotations

from pathlib import Path

import msgspec

from conductor.adapters.files.receipt_log import (
    FileReceiptLog,
    accepted,
    read_receipts,
    receipts_of,
)
from conductor.model.receipt import Outcome, Receipt


def a_receipt(
    job: str = "a",
    attempt: int = 1,
    outcome: Outcome = "ok",
    message: str = "",
    token: str = "",
    ended_at: float = 2.0,
) -> Receipt:
    return Receipt(
        v=1, job_id=job * 24, attempt=attempt, workflow="w", task="t", outcome=outcome, started_at=1.0,
        ended_at=ended_at, node="n", worker="w1", message=message, token=token,
    )  # fmt: skip


def test_a_line_cut_anywhere_costs_that_line_only(tmp_path: Path):
    log = FileReceiptLog(tmp_path, "n-w")
    log.append(a_receipt("a"))
    whole = log.file.read_bytes()
    log.append(a_receipt("b", message="größer"))
    both = log.file.read_bytes()
    log.close()

    for cut in range(len(whole), len(both)):
        log.file.write_bytes(both[:cut])
        jobs, bad = read(tmp_path)
        assert (jobs, bad) == (["a"], [])  # The rest may just be under way.

        again = FileReceiptLog(tmp_path, "n-w")
        again.append(a_receipt("c"))
        again.close()
        # Cut just before the newline the line is whole, and the repair makes it count again.
        kept = ["a", "b", "c"] if cut == len(both) - 1 else ["a", "c"]
        jobs, bad = read(tmp_path)
        assert jobs == kept
        assert bad == ([2] if len(whole) < cut < len(both) - 1 else [])


def read(folder: Path) -> tuple[list[str], list[int]]:
    """First letters of the ids, and the numbers of the lines that were passed over."""
    bad: list[int] = []
    jobs = [
        receipt.job_id[0] for receipt in read_receipts(folder, lambda file, number, why: bad.append(number))
    ]
    return jobs, bad


def test_files_of_all_writers_are_merged(tmp_path: Path):
    for name in ("n-2", "n-1"):
        FileReceiptLog(tmp_path, name).append(a_receipt(name[-1]))

    assert [r.job_id[0] for r in FileReceiptLog(tmp_path, "n-3").read()] == ["1", "2"]


def test_a_writers_name_stays_inside_the_folder(tmp_path: Path):
    log = FileReceiptLog(tmp_path / "receipts", "../evil/name")
    log.append(a_receipt())

    assert log.file.parent == tmp_path / "receipts" and log.file.exists()


def test_the_receipts_of_one_job_are_found_among_all_and_no_others(tmp_path: Path):
    first, second = FileReceiptLog(tmp_path, "n-1"), FileReceiptLog(tmp_path, "n-2")
    first.extend([a_receipt("a"), a_receipt("b", message=f'it waits for "{"a" * 24}"'), a_receipt("a", 2)])
    second.extend([a_receipt("c"), a_receipt("a", 3)])
    first.file.write_bytes(first.file.read_bytes() + b'{"v":1,"job_id":"' + b"a" * 24 + b'","attempt":4,"out')
    (tmp_path / "empty.jsonl").touch()
    # By another hand, with blanks; and a line that is none.
    line = (
        second.file.read_bytes()
        .splitlines()[1]
        .replace(b":", b": ")
        .replace(b'"attempt": 3', b'"attempt": 5')
    )
    (tmp_path / "other.jsonl").write_bytes(b'garbage "' + b"a" * 24 + b'"\n' + line + b"\n")

    assert [r.attempt for r in receipts_of(tmp_path, "a" * 24)] == [1, 2, 3, 5]
    assert list(receipts_of(tmp_path, "d" * 24)) == []
    assert list(receipts_of(tmp_path / "none", "a" * 24)) == []


def test_no_folder_means_no_receipts(tmp_path: Path):
    assert list(read_receipts(tmp_path / "none")) == []


def test_a_receipt_is_known_by_its_body_and_not_by_its_number():
    first, second = (
        a_receipt("a", 1, token="0000000a", ended_at=3.0),
        a_receipt("a", 1, token="0000000b", ended_at=2.5),
    )
    taken_back = msgspec.structs.replace(second, outcome="superseded")

    assert accepted([first, second])["a" * 24] == second, "the one that ended first"
    assert accepted([first, second, taken_back])["a" * 24] == first
    assert accepted([second, taken_back, taken_back]) == {}


def test_the_lowest_standing_attempt_counts():
    receipts = [
        a_receipt("a", 2), a_receipt("a", 1, "failed"), a_receipt("a", 3),
        a_receipt("b", 1), a_receipt("b", 1, "superseded"), a_receipt("b", 2),
        a_receipt("c", 1, "superseded"), a_receipt("c", 1),
        a_receipt("d", 1, "failed"),
    ]  # fmt: skip

    assert {job[0]: receipt.attempt for job, receipt in accepted(receipts).items()} == {"a": 2, "b": 2}
