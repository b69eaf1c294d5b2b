"""One contract: the receipt log on disk and its twin in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.memory.receipt_log import MemoryReceiptLog
from conductor.ports import ReceiptLog as Port
from tests.unit.adapters.files.test_receipt_log import a_receipt


@pytest.fixture(params=["file", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Port:
    makers: dict[str, Callable[[], Port]] = {
        "file": lambda: FileReceiptLog(tmp_path, "node1-w1"),
        "memory": MemoryReceiptLog,
    }
    return makers[request.param]()


def test_what_was_appended_is_read_in_order(log: Port):
    receipts = [a_receipt("a", 1, "failed", 'with "quotes"\nand lines'), a_receipt("a", 2), a_receipt("b")]

    for receipt in receipts:
        log.append(receipt)

    assert list(log.read()) == receipts


def test_reading_does_not_disturb_appending(log: Port):
    log.append(a_receipt("a"))
    seen = iter(log.read())
    assert next(iter(seen)) == a_receipt("a")

    log.append(a_receipt("b"))

    assert len(list(log.read())) == 2
