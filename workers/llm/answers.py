"""What came back as a success: the model's words, however they are wrapped, and what they cost. Pure.

Usable is: content in parts, thoughts before the answer, ``` fences, counts as floats or texts, no counts at
all, a byte order mark, a stream that nobody asked for. What is not usable is told by its cause: empty,
filtered, cut off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from conductor.base.errors import BadInput, JobError
from conductor.base.text import printable
from workers.llm.json_objects import whole_letters

#: Counts above it are no counts.
_MOST_TOKENS = 10**12
_FILTERED = frozenset(
    {"content_filter", "content_filtered", "safety", "refusal", "blocklist", "prohibited_content"}
)
_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_THOUGHTS = re.compile(r"<(think|thinking|thought|reasoning|reflection)>.*?</\1>", re.DOTALL | re.IGNORECASE)
#: Where the template of the model opens it, the answer only closes it.
_END_OF_THOUGHTS = re.compile(r"</(?:think|thinking|thought|reasoning|reflection)>|◁/think▷", re.IGNORECASE)
_FINAL = re.compile(r"<\|channel\|>final.*?<\|message\|>", re.DOTALL)
_SHOWN = 200


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def total(self) -> int | None:
        known = [count for count in (self.prompt_tokens, self.completion_tokens) if count is not None]
        return sum(known) if known else None


class FirstChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The first choice of an answer, as it came. `text` is without thoughts; it may be empty."""

    text: str = ""
    model: str = ""
    finish: str = ""
    #: The model's own words for why it does not answer.
    refusal: str = ""
    has_thoughts: bool = False
    usage: TokenUsage = TokenUsage()


def said_of(content: bytes) -> FirstChoice | None:
    """None: that is no answer of a model."""
    text = content.decode("utf-8-sig", "replace").strip()
    if text.startswith(("data:", "event:", ":")):
        return _of_stream(text)
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(whole, dict) or not isinstance(whole.get("choices"), list):
        return None
    return _of_whole(cast(dict[str, Any], whole))


def usable(said: FirstChoice, name: str) -> str:
    """The model's words. Raises `BadInput` where it was filtered, `JobError` where there are none, or not
    all.
    """
    if said.refusal or said.finish in _FILTERED:
        words = f": {printable(said.refusal)[:_SHOWN]}" if said.refusal else ""
        raise BadInput(f"{name} filtered its answer ({said.finish or 'refusal'}){words}")
    if said.finish in _CUT_OFF:
        inside = ", while it still thought aloud" if said.has_thoughts and not said.text else ""
        raise JobError(
            f"the answer of {name} was cut off at max_tokens{inside}: raise it, or put fewer items in a job"
        )
    if not said.text:
        why = ": it thought aloud, and then said nothing" if said.has_thoughts else ""
        raise JobError(f"{name} sent an empty answer{why}")
    return said.text


def _of_whole(whole: Mapping[str, Any]) -> FirstChoice:
    choices = cast(list[object], whole["choices"])
    first = cast(dict[str, Any], choices[0]) if choices and isinstance(choices[0], dict) else {}
    found = first.get("message") or first.get("delta")
    message = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    raw = text_of(message.get("content")) or text_of(first.get("text"))
    text = without_thoughts(raw)
    thoughts = message.get("reasoning_content") or message.get("reasoning") or text != raw.strip()
    return FirstChoice(
        text=text,
        model=_word(whole.get("model")),
        finish=_word(first.get("finish_reason")).lower(),
        refusal=text_of(message.get("refusal")) or _refused_in(message.get("content")),
        has_thoughts=bool(thoughts),
        usage=usage_of(whole.get("usage")),
    )


def _of_stream(text: str) -> FirstChoice | None:
    """A stream of events, put together as if it had been asked for whole."""
    pieces, message, last = list[dict[str, Any]](), dict[str, str](), dict[str, Any]()
    for line in text.splitlines():
        if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
            try:
                pieces.append(msgspec.json.decode(data, type=dict[str, Any]))
            except msgspec.DecodeError:
                return None
    for piece in pieces:
        choices = piece.get("choices")
        first = cast(list[Any], choices)[0] if isinstance(choices, list) and choices else {}
        delta = first.get("delta") if isinstance(first, dict) else None
        for part in ("content", "reasoning_content", "refusal") if isinstance(delta, dict) else ():
            message[part] = message.get(part, "") + text_of(cast(dict[str, Any], delta).get(part))
        finish = first.get("finish_reason") if isinstance(first, dict) else None
        last |= {key: piece[key] for key in ("model", "usage") if piece.get(key)} | (
            {"f": finish} if finish else {}
        )
    if not pieces:
        return None
    return _of_whole({**last, "choices": [{"message": message, "finish_reason": last.get("f")}]})


def text_of(content: object) -> str:
    """Of a text, or of parts: `[{"type": "text", "text": …}]`, less those that are thoughts."""
    if isinstance(content, str):
        return whole_letters(content)
    if isinstance(content, dict):
        part = cast(dict[str, Any], content)
        return "" if part.get("type") in ("thinking", "reasoning", "refusal") else text_of(part.get("text"))
    return "".join(map(text_of, cast(list[object], content))) if isinstance(content, list) else ""


def _refused_in(content: object) -> str:
    parts = cast(list[Any], content) if isinstance(content, list) else []
    return "".join(
        _word(p.get("refusal")) for p in parts if isinstance(p, dict) and p.get("type") == "refusal"
    )


def without_thoughts(text: str) -> str:
    """What it says after having thought aloud."""
    if finals := list(_FINAL.finditer(text)):
        text = text[finals[-1].end() :].partition("<|")[0]
    text = _THOUGHTS.sub("", text)
    if ends := list(_END_OF_THOUGHTS.finditer(text)):
        text = text[ends[-1].end() :]
    opened = re.match(r"\s*<(?:think|thinking|thought|reasoning|reflection)>", text, re.IGNORECASE)
    return "" if opened else text.strip()


def usage_of(value: object) -> TokenUsage:
    usage = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    asked, told = (
        next((found for name in names if (found := count_of(usage.get(name))) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    if asked is None and told is None:
        asked = count_of(usage.get("total_tokens"))
    return TokenUsage(prompt_tokens=asked, completion_tokens=told)


def count_of(value: object) -> int | None:
    """7, 7.0, "7"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        count = float(value)
    except ValueError:
        return None
    return int(count) if 0 <= count <= _MOST_TOKENS else None


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
