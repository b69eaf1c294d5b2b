"""What a task's result tells beyond its own job, by words that every task may use: pictures that were looked
at, what was found in them, and where another engine had to do the work.

    {"frames": 5400, "events": [...] or 12, "fallbacks": [{"from": "api", "to": "local", "reason": "429"}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

MOST_FALLBACKS = 20
MOST_WORDS = 200


class EngineFallback(NamedTuple):
    """Work that was meant for one engine and was done by another."""

    from_engine: str
    to_engine: str
    why: str


def frames_of(result: Mapping[str, Any]) -> int:
    return _count(result.get("frames"))


def found_of(result: Mapping[str, Any]) -> int:
    """Events that were found: their number, or a list of them."""
    return _count(result.get("events"))


def fallbacks_of(result: Mapping[str, Any], devices: Sequence[str]) -> tuple[EngineFallback, ...]:
    """What it says of itself; and a job that had a device, and ran on the CPU."""
    found = [*_told(result.get("fallbacks"))][:MOST_FALLBACKS]
    provider = result.get("provider")
    if devices and isinstance(provider, str) and provider.startswith("CPU"):
        found.append(EngineFallback("gpu", "cpu", f"it had {', '.join(devices)} and ran on {provider}"))
    return tuple(found)


def _told(said: object) -> Iterator[EngineFallback]:
    for each in cast(list[object], said) if isinstance(said, list) else ():
        if isinstance(each, dict):
            row = cast(dict[str, object], each)
            yield EngineFallback(*(str(row.get(name, ""))[:MOST_WORDS] for name in ("from", "to", "reason")))


def _count(said: object) -> int:
    if isinstance(said, bool):
        return 0
    if isinstance(said, int):
        return max(0, said)
    return len(cast(list[object], said)) if isinstance(said, list) else 0
