"""What receipts say was spent on APIs, for a ledger that was emptied; and the dearest token of each
endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from conductor.adapters.files.receipt_log import read_receipts
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.core.rates.spending import HOUR_S, HOURS, charge


def spent_lately(receipts_dir: Path, now: float | None = None) -> dict[tuple[str, int], int]:
    """(rate key, hour since the epoch) → micro-dollars, of the hours that a day's budget counts.

    An answer was paid whatever became of its attempt: failed and superseded ones count; a receipt that takes
    back an `ok` of the same attempt tells of the same calls, and does not.
    """
    first = (time.time() if now is None else now) - HOURS * HOUR_S
    told: set[tuple[str, int]] = set()
    spent: dict[tuple[str, int], int] = {}
    for receipt in read_receipts(receipts_dir):
        attempt = (receipt.job_id, receipt.attempt)
        if not receipt.usage.spend or receipt.ended_at < first or attempt in told:
            continue
        told.add(attempt)
        for key, usd in receipt.usage.spend.items():
            charge(spent, key, receipt.ended_at, usd)
    return spent


def dearest(endpoints: Mapping[str, Endpoint]) -> dict[str, float]:
    """Rate key → USD of its dearest token: what a token is thought to cost before the first answer."""
    prices = {
        # A token of film is a millisecond.
        name: max(
            endpoint.usd_per_million_input / 1_000_000,
            endpoint.usd_per_million_output / 1_000_000,
            endpoint.usd_per_second / 1000,
        )
        for name, endpoint in endpoints.items()
    }
    return {name: price for name, price in prices.items() if price}
