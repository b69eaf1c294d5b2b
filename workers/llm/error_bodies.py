"""The bodies of errors, as OpenAI, Azure, Anthropic, Gemini, vLLM, llama.cpp, Ollama, LiteLLM, OpenRouter and
FastAPI write them: their words, and whatever in them is a code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from conductor.base import secrets
from conductor.base.text import printable

#: Of the words so much is kept.
MOST_WORDS = 400
_CODES = ("code", "type", "status", "reason", "param", "statusCode", "object")
_WORDS = ("message", "msg", "detail", "error_description", "error", "raw", "title")
_BELOW = ("error", "innererror", "details", "detail", "metadata", "errors", "message", "body")
_DELAYS = ("retryDelay", "retry_after", "retryAfter", "retry_after_seconds")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
#: Nobody answers with more parts than this.
_MOST_PARTS = 64


class Complaint(NamedTuple):
    """What an error says."""

    #: One line.
    words: str = ""
    #: In small letters: codes, types, names of parameters.
    codes: frozenset[str] = frozenset()
    #: When to come back, as a field has it: `retryDelay` of Gemini, `retry_after`.
    delay: str | None = None
    #: Of the server behind the one that was asked, as OpenRouter hands them on.
    headers: Mapping[str, str] = {}

    @property
    def status(self) -> int | None:
        """A status that is told inside, as within a 200."""
        numbers = (int(code) for code in self.codes if code.isascii() and code.isdigit() and len(code) == 3)
        return next((number for number in sorted(numbers) if 300 <= number < 600), None)


def complaint_of(content: bytes) -> Complaint:
    """Of the body of an answer that is no success. Whatever it is, there are words."""
    text = content.decode("utf-8-sig", "replace").strip()
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return Complaint(words=_line(_TAGS.sub(" ", text)))
    if isinstance(value, str):
        return Complaint(words=_line(value))
    words, codes, delays, headers = list[str](), set[str](), list[str](), dict[str, str]()
    for part in _parts(value):
        words += (said for name in _WORDS if isinstance(said := part.get(name), str) and said.strip())
        codes |= {str(code).lower() for name in _CODES if isinstance(code := part.get(name), str | int)}
        place = part.get("loc")
        if isinstance(place, list):
            codes |= {str(step).lower() for step in cast(list[object], place)}
        delays += (str(delay) for name in _DELAYS if isinstance(delay := part.get(name), str | int | float))
        if isinstance(handed_on := part.get("headers"), dict):
            headers |= {
                str(name): str(value) for name, value in cast(dict[object, object], handed_on).items()
            }
    said = " · ".join(dict.fromkeys(word.strip() for word in words))
    delay = delays[0] if delays else None
    return Complaint(words=_line(said or text), codes=frozenset(codes), delay=delay, headers=headers)


def error_within(content: bytes) -> Complaint | None:
    """Of a body that came as a success: the error that stands in it, of the whole or of its first choice."""
    try:
        value = msgspec.json.decode(content.decode("utf-8-sig", "replace").strip())
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    whole = cast(dict[str, Any], value)
    choices = whole.get("choices")
    first = cast(list[object], choices)[0] if isinstance(choices, list) and choices else None
    within = cast(dict[str, Any], first).get("error") if isinstance(first, dict) else None
    if within:
        return complaint_of(msgspec.json.encode({"error": within}))
    is_error = bool(whole.get("error")) or whole.get("type") == "error" or whole.get("object") == "error"
    return complaint_of(content) if is_error and not choices else None


def _parts(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of it in which an error may speak, the outer ones first."""
    queue, seen = [value], 0
    while queue and seen < _MOST_PARTS:
        one, seen = queue.pop(0), seen + 1
        if isinstance(one, list):
            queue += cast(list[object], one)[:_MOST_PARTS]
        elif isinstance(one, dict):
            part = cast(dict[str, Any], one)
            yield part
            queue += (part[name] for name in _BELOW if isinstance(part.get(name), dict | list))


def _line(text: str) -> str:
    # Before it is cut: of a secret that was cut nobody knows any more that it is one.
    words = printable(secrets.scrub(" ".join(text.split())))
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"
