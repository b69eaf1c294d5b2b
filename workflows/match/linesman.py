"""Who says in the demo what a person would say: accepts what really happened, and rejects the rest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conductor.adapters.files.receipt_log import receipts_of
from conductor.adapters.open_ledger import open_ledger
from conductor.base.errors import Unreachable
from conductor.base.settings.settings import Settings, load
from conductor.ports import Ledger
from conductor.recovery.verdicts import ReviewDesk
from workflows.match.verify import is_same

LOOK_S = 0.3
Truth = Mapping[str, Sequence[Mapping[str, Any]]]


def judge_until(project: Path, truth: Truth, is_over: threading.Event) -> None:
    """`truth`: name of a film → its events."""
    settings = load(project)
    while not is_over.wait(LOOK_S):
        try:
            # He comes to a game that others have begun.
            with open_ledger(settings, is_lenient=True, is_joining=True) as ledger:
                judge_all(settings, ledger, truth, is_over)
        except Unreachable:
            continue


def judge_all(settings: Settings, ledger: Ledger, truth: Truth, is_over: threading.Event) -> None:
    desk = ReviewDesk(ledger, settings.receipts_dir)
    try:
        while not is_over.wait(LOOK_S):
            for job_id in list(ledger.reviews.shown()):
                judge(settings, ledger, desk, job_id, truth)
    finally:
        desk.close()


def judge(settings: Settings, ledger: Ledger, desk: ReviewDesk, job_id: str, truth: Truth) -> None:
    view = ledger.jobs.job(job_id)
    receipt = next((r for r in receipts_of(settings.receipts_dir, job_id) if r.outcome == "review"), None)
    if view is None or receipt is None:
        return
    known = truth.get(receipt.result["source"], ())
    for item, place in enumerate(receipt.result["asked"], 1):
        event = receipt.result["events"][place]
        is_true = any(is_same(other, event) for other in known)
        desk.judge(view, is_true, "linesman", "" if is_true else "the whistle had gone", (item,))
