"""Signed hand-overs: whoever can write to Redis but lacks the key gets no job run.

`dispatch` seals each manifest line; `admit` hands over only what carries a seal, and signs job, attempt,
queue and line; the worker checks that before it runs a body. A report of a night is sealed with the same key.
Without a configured key nothing is signed and nothing checked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from conductor.base.errors import ConfigError

if TYPE_CHECKING:
    from conductor.model.snapshot import Reservation

MIN_KEY_CHARS = 16


class Signer:
    """HMAC-SHA256 under one key; 128 bits of it, as text."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def seal(self, line: bytes) -> str:
        """Of a manifest line, byte for byte: «this was dispatched»."""
        return self._mac("line", _hash(line))

    def sign(self, held: Reservation, line: bytes) -> str:
        """Of one hand-over: «this attempt of this line was admitted to this queue»."""
        return self._mac("hand-over", held.job_id, held.attempt, held.queue, _hash(line))

    def is_sealed(self, line: bytes, seal: str) -> bool:
        return hmac.compare_digest(self.seal(line).encode(), seal.encode("utf-8", "replace"))

    def is_signed(self, held: Reservation, line: bytes) -> bool:
        return hmac.compare_digest(self.sign(held, line).encode(), held.signature.encode("utf-8", "replace"))

    def seal_report(self, figures: bytes) -> str:
        """Of the figures of a report, byte for byte: «this was worked out here»."""
        return self._mac("report", _hash(figures))

    def is_report_sealed(self, figures: bytes, seal: str) -> bool:
        return hmac.compare_digest(self.seal_report(figures).encode(), seal.encode("utf-8", "replace"))

    def _mac(self, *words: str | int) -> str:
        # The first word tells the kinds apart: a seal is never a signature.
        digest = hmac.digest(self._key, orjson.dumps(words), "sha256")
        return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def signer_of(name: str | None, environ: Mapping[str, str] = os.environ) -> Signer | None:
    """The signer whose key the environment variable `name` holds; None where none is named.

    Raises `ConfigError` where it holds no usable key.
    """
    if name is None:
        return None
    key = environ.get(name, "")
    if len(key) < MIN_KEY_CHARS:
        raise ConfigError(
            f"redis.signing_key_env names ${name}, which holds no key of {MIN_KEY_CHARS} characters or more: "
            "set it, the same on every host (python -c 'import secrets; print(secrets.token_urlsafe(32))')"
        )
    return Signer(key)
