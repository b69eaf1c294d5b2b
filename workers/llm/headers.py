"""What servers say of their budgets and of when to come back: in headers, in the five ways of it, and in
words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from conductor.model.calls import Budget

MAX_RETRY_AFTER_S = 24 * 3600.0
#: A number above this is no duration but a point of time: epoch seconds, or milliseconds above the second.
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
#: «try again in 11.5s», «retry after 6 seconds», «wait 1 minute and 12 seconds», «retry in 1m2.3s».
_AMOUNT = (
    r"\d+(?:\.\d+)?\s*(?:ms|milliseconds?|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|days?|d)(?![a-z])"
)
_IN_WORDS = re.compile(
    rf"\b(?:again|retry|retrying|wait|back|available|resets?)\b[^.;:]{{0,24}}?"
    rf"\b({_AMOUNT}(?:(?:,|\s*and)?\s*{_AMOUNT})*)",
    re.IGNORECASE,
)
_WORD_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*(\d+(?:\.\d+)?)")
#: In the words of OpenAI and the servers shaped like it; of Anthropic; of the older IETF draft and GitHub.
_ANTHROPIC = "anthropic-ratelimit-requests"
_REQUESTS = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    (f"{_ANTHROPIC}-limit", f"{_ANTHROPIC}-remaining", f"{_ANTHROPIC}-reset"),
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
_TOKENS = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
)


def requests_budget(headers: Mapping[str, str], now: float) -> Budget:
    """`now`: epoch seconds of the answer, for points of time."""
    given = lowered(headers)
    return _structured(given) or _first(given, _REQUESTS, now)


def tokens_budget(headers: Mapping[str, str], now: float) -> Budget:
    return _first(lowered(headers), _TOKENS, now)


def said_wait_s(headers: Mapping[str, str], words: str, now: float, delay: str | None = None) -> float | None:
    """Seconds to stay away, by whatever says so: retry-after-ms, Retry-After, `delay` (a field of the body),
    the words («try again in 11.5s»), or the reset of a budget that is used up. None: nothing does."""
    given = lowered(headers)
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (ms := number(given.get(name))) is not None:
            return _bounded(ms / 1000)
    for text in (given.get("retry-after"), given.get("x-retry-after"), delay):
        if (said := seconds_until(text, now)) is not None:
            return _bounded(said)
    if resets := _resets(given, now):
        return _bounded(max(resets))
    found = _IN_WORDS.search(words)
    if found is None:
        return None
    parts = _WORD_PARTS.findall(found[1])
    return _bounded(sum(float(amount) * _UNITS[_unit(unit)] for amount, unit in parts))


def seconds_until(text: str | None, now: float) -> float | None:
    """`1s`, `6m0s`, `250ms`, `12`, epoch seconds or milliseconds, ISO 8601, an HTTP date; None: none of
    them.
    """
    if text is None or not (text := text.strip()):
        return None
    if (value := number(text)) is not None:
        if value < _EPOCH_S:
            return value
        return max(0.0, (value / 1000 if value > _EPOCH_MS else value) - now)
    parts = _PARTS.findall(text)
    if parts and "".join(amount + unit for amount, unit in parts) == text:
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    at = _point(text)
    return None if at is None else max(0.0, at - now)


def number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return max(0.0, value) if value is not None and abs(value) < 1e16 else None


def _resets(given: Mapping[str, str], now: float) -> list[float]:
    """When budgets are whole again that are used up; or that say nothing of what is left, where none is."""
    empty, unsaid = list[float](), list[float]()
    for name, value in given.items():
        if "ratelimit" not in name or "reset" not in name or (until := seconds_until(value, now)) is None:
            continue
        left = given.get(name.replace("reset", "remaining"))
        if left is None:
            unsaid.append(until)
        elif _whole(left) == 0:
            empty.append(until)
    structured = requests_budget(given, now)
    if structured.remaining == 0 and structured.resets_in_s is not None:
        empty.append(structured.resets_in_s)
    return empty or unsaid


def _unit(word: str) -> str:
    word = word.lower()
    return "ms" if word.startswith(("ms", "milli")) else word[0]


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _point(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None


def _first(given: Mapping[str, str], families: tuple[tuple[str, str, str], ...], now: float) -> Budget:
    for limit, remaining, reset in families:
        if limit in given or remaining in given:
            return Budget(
                limit=_whole(given.get(limit)),
                remaining=_whole(given.get(remaining)),
                resets_in_s=seconds_until(given.get(reset), now),
            )
    return Budget()


def _structured(given: Mapping[str, str]) -> Budget | None:
    """The IETF draft: `RateLimit: "default";r=50;t=30`, `RateLimit-Policy: "default";q=100;w=60`. The
    first counts.
    """
    policy, left = (
        dict(_PARAMETER.findall(_item(given.get(name, "")))) for name in ("ratelimit-policy", "ratelimit")
    )
    if "r" not in left and "q" not in policy:
        return None
    return Budget(
        limit=_whole(policy.get("q")),
        remaining=_whole(left.get("r")),
        resets_in_s=number(left.get("t")),
        window_s=number(policy.get("w")) or None,
    )


def _item(field: str) -> str:
    return field.split(",", 1)[0]


def _whole(text: str | None) -> int | None:
    """`100`, and `100, 100;w=60` as older drafts have it."""
    value = number(_item(text).split(";", 1)[0].strip()) if text is not None else None
    return None if value is None else int(value)


def _bounded(seconds: float) -> float:
    return min(MAX_RETRY_AFTER_S, max(0.0, seconds))
