"""The key of an endpoint, fit for a header; it is never written anywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor.base.settings.endpoint_settings import Endpoint


class BadKey(ValueError):
    """One sentence: what is wrong with it, without a letter of it."""


def key_of(endpoint: Endpoint, name: str) -> str:
    """From this process's environment, less what surrounds it: a key read from a file ends in a line break.

    «none» where the endpoint needs none, as local servers do. Raises `BadKey`."""
    variable = endpoint.api_key_env
    if variable is None:
        return "none"
    key = os.environ.get(variable, "").strip().removeprefix("\ufeff").strip()
    if not key:
        raise BadKey(f"the key of endpoint {name} is missing: set {variable} in the workers' environment")
    if fault := fault_of(key):
        raise BadKey(f"the key of endpoint {name} cannot be sent: ${variable} holds {fault}; set it anew")
    return key


def fault_of(key: str) -> str | None:
    """What no header may hold, in words; None where it can be sent."""
    if any(c in "\r\n" for c in key):
        return "a line break in its middle"
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        return "a control character"
    if not key.isascii():
        return "letters beyond ASCII"
    return "a blank in its middle" if " " in key else None
