"""What one model of one endpoint has refused to be told, so that it is asked so once and never again.

Kept beside the project's state, one small file a model: other workers, and tomorrow's, know it too.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from conductor.base.files.safe_open import make_own
from workers.llm.error_bodies import Complaint

if TYPE_CHECKING:
    from conductor.base.files.layout import Layout
    from conductor.base.settings.endpoint_settings import Endpoint

#: A message of its own for the instruction; some models know the user's only.
SYSTEM = "system"
LENGTHS = ("max_tokens", "max_completion_tokens")
_REFUSED = re.compile(
    r"unsupported|not supported|n[o']t support|only the "
    r"default|unknown|unrecogni[sz]ed|unexpected|deprecated|removed|"
    r"not (?:permitted|allowed|available)|extra (?:inputs|fields)|forbidden|cannot be (?:set|used)|instead|"
    r"invalid (?:parameter|field|argument)",
    re.IGNORECASE,
)
_REFUSED_CODES = frozenset(
    {"unsupported_parameter", "unsupported_value", "unknown_parameter", "unsupportedparamserror"}
)
_NO_SYSTEM = re.compile(
    r"(?:system|developer)'? ?(?:role|message|prompt|instruction)s?.{0,40}(?:not|n't) (?:\w+ "
    r")?(?:support|allow)|"
    r"not support.{0,20}(?:system|developer)\b|only user and assistant roles|roles must alternate user",
    re.IGNORECASE,
)


class Habits(msgspec.Struct):
    """Names of members that it refused."""

    refused: tuple[str, ...] = ()

    def body(self, endpoint: Endpoint, system: str, user: str, max_tokens: int) -> dict[str, Any]:
        """The request, as far as this model lets itself be asked."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        if SYSTEM in self.refused or SYSTEM in endpoint.without:
            messages = [{"role": "user", "content": f"{system}\n\n{user}"}]
        own: dict[str, Any] = {"temperature": 0}
        length = next((name for name in LENGTHS if name not in self.refused), None)
        if length is not None and not any(name in endpoint.parameters for name in LENGTHS):
            own[length] = max_tokens
        left_out = {*self.refused, *endpoint.without, *(LENGTHS if "max_tokens" in endpoint.without else ())}
        own = {name: value for name, value in own.items() if name not in left_out}
        return {"model": endpoint.model or "default", "messages": messages, **own, **endpoint.parameters}


def refused_member(status: int, complaint: Complaint, body: Mapping[str, Any]) -> str | None:
    """The member of the request (or `SYSTEM`) that the server does not take; None: it is something else."""
    if status not in (400, 422):
        return None
    words, codes = complaint.words, complaint.codes
    if _NO_SYSTEM.search(words) and any(message["role"] == "system" for message in body["messages"]):
        return SYSTEM
    if not (codes & _REFUSED_CODES or _REFUSED.search(words)):
        return None
    optional = [name for name in body if name not in ("model", "messages")]
    by_code = (name for name in optional if name.lower() in codes)
    found = [
        (at.start(), name)
        for name in optional
        if (at := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words))
    ]
    # Of several that are named the first is what is refused, the others are what to use instead.
    return next(by_code, None) or (min(found)[1] if found else None)


def known(layout: Layout, endpoint: Endpoint) -> Habits:
    try:
        return msgspec.json.decode(_file(layout, endpoint).read_bytes(), type=Habits)
    except (OSError, msgspec.DecodeError):
        return Habits()


def learned(layout: Layout, endpoint: Endpoint, name: str) -> Habits:
    """With one more. A disk that does not take it costs a refused request now and then."""
    habits = Habits(refused=tuple(dict.fromkeys((*known(layout, endpoint).refused, name))))
    file = _file(layout, endpoint)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(3)}")
    with suppress(OSError):
        make_own(file.parent)
        draft.write_bytes(msgspec.json.encode(habits))
        draft.replace(file)
    return habits


def _file(layout: Layout, endpoint: Endpoint) -> Path:
    # A hash: an address may hold a password, and a model's name what no file's may.
    what = hashlib.sha256(f"{endpoint.base_url}\0{endpoint.model}".encode()).hexdigest()[:16]
    return layout.state_dir / "models" / f"{what}.json"
