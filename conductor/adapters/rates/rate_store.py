"""Where the leader keeps what it knows of the APIs: what was learned, what is handed out, what was spent.

Hash `rates`: rate key → KeyMemory. Hash `rate_reserved`: `ID-aN KEY` → BudgetShare. Hash `spent`:
`HOUR KEY` → micro-dollars, and `known`: it holds what there is to know of the last day. Written by the leader
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from conductor.core.rates.headers import elsewhere, per_window
from conductor.core.rates.learned_limits import LearnedRate
from conductor.core.rates.quota import Quota
from conductor.core.rates.spending import averages
from conductor.model.calls import Call
from conductor.model.spec import Value

if TYPE_CHECKING:
    from redis import Redis

    from conductor.adapters.redis.scripts import Scripts

KNOWN = "known"


class BudgetShare(Value, frozen=True, kw_only=True):
    """What one attempt may use of one budget; as long as it runs, or until it told what it used."""

    key: str
    job_id: str
    attempt: int
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    #: It runs: its calls are in the log.
    is_called: bool = False
    #: Since when (the ledger's clock).
    called_at: float = 0.0


class KeyMemory(Value, frozen=True, kw_only=True):
    """One key's memory between two looks."""

    learned: LearnedRate = LearnedRate()
    quota: Quota = Quota()
    #: Tokens per window, as the server says.
    tokens_limit: int | None = None
    #: Requests and tokens that others use of the same budget, and until when that is believed.
    elsewhere: int = 0
    elsewhere_until: float = 0.0
    tokens_elsewhere: int = 0
    tokens_elsewhere_until: float = 0.0
    #: Averages; 0: no priced answer has come yet.
    usd_per_token: float = 0.0
    usd_per_call: float = 0.0

    def after(
        self, calls: Sequence[Call], used: int, tokens_used: int, window_s: float, now: float
    ) -> KeyMemory:
        """With what the answers say of the server's own counts. `used`, `tokens_used`: ours in the window."""
        memory = self
        if calls:
            per_token, per_call = averages(self.usd_per_token, self.usd_per_call, calls)
            memory = replace(memory, usd_per_token=per_token, usd_per_call=per_call)
        for call in calls:
            if (said := elsewhere(call.requests, used, window_s)) is not None:
                memory = replace(memory, elsewhere=said[0], elsewhere_until=now + said[1])
            if (said := elsewhere(call.token_budget, tokens_used, window_s)) is not None:
                memory = replace(memory, tokens_elsewhere=said[0], tokens_elsewhere_until=now + said[1])
        said_tokens = per_window((call.token_budget for call in calls), window_s)
        return memory if said_tokens is None else replace(memory, tokens_limit=said_tokens)


class RateRecords(Struct, kw_only=True):
    """All of it, as it stands."""

    memories: dict[str, KeyMemory]
    taken: dict[str, BudgetShare]
    spent: dict[tuple[str, int], int]
    #: False: this Redis was emptied, and may have forgotten what was spent.
    is_spend_known: bool


class Changes(Struct, kw_only=True):
    """What one look changed. `spent` is added to what is there."""

    memories: dict[str, KeyMemory] = field(default_factory=dict[str, KeyMemory])
    taken: dict[str, BudgetShare] = field(default_factory=dict[str, BudgetShare])
    ended: list[str] = field(default_factory=list[str])
    spent: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    stale: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    makes_spend_known: bool = False

    def is_empty(self) -> bool:
        return not (
            self.memories or self.taken or self.ended or self.spent or self.stale or self.makes_spend_known
        )


def taken_field(job_id: str, attempt: int, key: str) -> str:
    return f"{job_id}-a{attempt} {key}"


class RateStore(Protocol):
    def load(self) -> RateRecords: ...

    def save(self, changes: Changes) -> None:
        """All of it or nothing."""
        ...


class MemoryRateStore:
    def __init__(self) -> None:
        self._records = RateRecords(memories={}, taken={}, spent={}, is_spend_known=False)

    def load(self) -> RateRecords:
        records = self._records
        return RateRecords(
            memories=dict(records.memories),
            taken=dict(records.taken),
            spent=dict(records.spent),
            is_spend_known=records.is_spend_known,
        )

    def save(self, changes: Changes) -> None:
        records = self._records
        records.memories.update(changes.memories)
        records.taken.update(changes.taken)
        for name in changes.ended:
            records.taken.pop(name, None)
        for where, micro in changes.spent.items():
            records.spent[where] = records.spent.get(where, 0) + micro
        for where in changes.stale:
            records.spent.pop(where, None)
        records.is_spend_known = records.is_spend_known or changes.makes_spend_known


class RedisRateStore:
    def __init__(self, client: Redis, scripts: Scripts) -> None:
        """`scripts`: those of the ledger, which may have asked ahead what is loaded."""
        self._client = client
        self._scripts, self._keys = scripts, scripts.keys

    def load(self) -> RateRecords:
        flat: list[list[bytes]] = self._scripts.run("rate_records")
        memory, taken, spent = (dict(zip(row[0::2], row[1::2], strict=True)) for row in flat)
        is_known = spent.pop(KNOWN.encode(), None) is not None
        return RateRecords(
            memories={
                key.decode(): msgspec.json.decode(text, type=KeyMemory) for key, text in memory.items()
            },
            taken={
                name.decode(): msgspec.json.decode(text, type=BudgetShare) for name, text in taken.items()
            },
            spent={_where(name.decode()): int(micro) for name, micro in spent.items()},
            is_spend_known=is_known,
        )

    def save(self, changes: Changes) -> None:
        if changes.is_empty():
            return
        pipe, keys = self._client.pipeline(), self._keys
        for name, values in ((keys.rates, changes.memories), (keys.rate_reserved, changes.taken)):
            if values:
                pipe.hset(name, mapping={key: msgspec.json.encode(value) for key, value in values.items()})
        if changes.ended:
            pipe.hdel(keys.rate_reserved, *changes.ended)
        for where, micro in changes.spent.items():
            pipe.hincrby(keys.spent, _name(where), micro)
        if changes.stale:
            pipe.hdel(keys.spent, *map(_name, changes.stale))
        if changes.makes_spend_known:
            pipe.hset(keys.spent, KNOWN, 1)
        pipe.execute()


def _name(where: tuple[str, int]) -> str:
    return f"{where[1]} {where[0]}"


def _where(name: str) -> tuple[str, int]:
    hour, _, key = name.partition(" ")
    return key, int(hour)
