"""What the files of receipts tell of the last hour."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from builders import NOW

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.model.receipt import Receipt
from conductor.node.alerts import receipt_tail
from conductor.node.alerts.receipt_tail import ReceiptTail


def a_receipt(job: str = "job-00000001", **changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "v": 1,
        "job_id": job,
        "attempt": 1,
        "workflow": "w",
        "task": "vision.analyse",
        "outcome": "ok",
        "started_at": NOW - 20,
        "ended_at": NOW - 10,
        "node": "node1",
        "worker": "w1",
    }
    return Receipt(**{**values, **changes})


def failed(**changes: Any) -> Receipt:
    return a_receipt(**{"outcome": "failed", "cause": "timeout", **changes})


def write(folder: Path, *receipts: Receipt, name: str = "node1-w1") -> Path:
    log = FileReceiptLog(folder, name)
    log.extend(receipts)
    log.close()
    os.utime(log.file, (NOW, NOW))
    return log.file


def test_failures_of_the_last_hour_are_counted_by_cause_and_those_that_cost_no_try_are_not(
    tmp_path: Path,
) -> None:
    write(tmp_path, failed(), failed(is_free=True), failed(ended_at=NOW - 3700), a_receipt())
    tail = ReceiptTail(tmp_path)
    tail.look(NOW)
    write(tmp_path, failed(cause="cuda_oom"))
    tail.look(NOW)
    tail.look(NOW)
    assert tail.failed(NOW) == {"timeout": 1, "cuda_oom": 1}
    assert tail.failed(NOW + 3600) == {}


def test_who_had_a_device_and_ran_on_the_cpu_fell_back(tmp_path: Path) -> None:
    cpu, cuda = {"provider": "CPUExecutionProvider"}, {"provider": "CUDAExecutionProvider"}
    write(
        tmp_path,
        a_receipt(devices=("gpu0",), result=cpu),
        a_receipt("job-00000002", devices=("gpu0",), result=cuda),
        a_receipt("job-00000003", result=cpu),
    )
    tail = ReceiptTail(tmp_path)
    tail.look(NOW)
    assert tail.fallbacks(NOW) == {"vision.analyse": 1}


def test_who_was_made_by_a_less_preferred_engine_is_counted_beside_all_that_had_a_choice(
    tmp_path: Path,
) -> None:
    def made(number: int, engine: str) -> Receipt:
        result = {"engine": engine, "preferred_engine": "comfy"}
        return a_receipt(f"job-{number:08d}", result=result)

    write(tmp_path, made(1, "comfy"), made(2, "templates"), made(3, "comfy"), a_receipt("job-00000004"))
    tail = ReceiptTail(tmp_path)
    tail.look(NOW)
    assert tail.engines(NOW) == {"vision.analyse": (1, 3)} and tail.engines(NOW + 3700) == {}


def test_a_line_that_is_cut_is_a_fault_and_one_under_way_is_not(tmp_path: Path) -> None:
    file = write(tmp_path, a_receipt())
    with file.open("ab") as lines:
        lines.write(b'{"v":1,"job_')
    tail = ReceiptTail(tmp_path)
    tail.look(NOW)
    assert tail.faults(NOW) == ()
    with file.open("ab") as lines:
        lines.write(b"\n")
    tail.look(NOW)
    assert tail.faults(NOW) == ("node1-w1.jsonl has a line that is no whole receipt",)
    assert tail.faults(NOW + 3601) == ()


def test_two_receipts_that_count_are_a_fault_once_nobody_has_taken_one_back(tmp_path: Path) -> None:
    tail = ReceiptTail(tmp_path)
    write(tmp_path, a_receipt(token="0000000a"), a_receipt("job-00000002", token="0000000a"))
    write(tmp_path, a_receipt(token="0000000b", attempt=2), name="node2-w1")
    write(tmp_path, a_receipt("job-00000002", token="0000000b"), name="node2-w1")
    write(tmp_path, a_receipt("job-00000002", token="0000000b", outcome="superseded"), name="node2-w1")
    tail.look(NOW)
    assert tail.faults(NOW + 1) == ()
    assert tail.faults(NOW + 61) == ("job-00000001 has 2 receipts that count",)


def test_of_old_files_nothing_is_read_and_a_file_that_was_put_away_is_followed_anew(
    tmp_path: Path, monkeypatch: Any
) -> None:
    old = write(tmp_path, failed(), name="old")
    os.utime(old, (NOW - 7200, NOW - 7200))
    tail = ReceiptTail(tmp_path)
    tail.look(NOW)
    assert tail.failed(NOW) == {}
    old.write_bytes(b"")
    tail.look(NOW)
    write(tmp_path, failed(), name="old")
    tail.look(NOW)
    assert tail.failed(NOW) == {"timeout": 1}
    # Begun in the middle: the rest of a line is none.
    monkeypatch.setattr(receipt_tail, "BEGIN_BYTES", 100)
    fresh = ReceiptTail(tmp_path)
    fresh.look(NOW)
    assert fresh.failed(NOW) == {} and fresh.faults(NOW) == ()
    assert ReceiptTail(tmp_path / "none").faults(NOW) == ()
