"""Which engines may make a scene, by the policy: the preferred one first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.spec import EngineNeed, RateNeed
from workers.tasks.toon_segment import TEMPLATES

POLICIES = ("local_first", "local_only", "api_only")


def chosen(settings: CodeSettings, policy: str, named: Sequence[str] = ()) -> tuple[str, ...]:
    """The engines of a policy, or those that were named. Raises `ConfigError`, `UsageError`."""
    for name in named:
        checked(settings, name)
    if named:
        return tuple(dict.fromkeys(named))
    local = [name for name, each in settings.endpoints.items() if each.kind == "comfyui"]
    bought = [name for name, each in settings.endpoints.items() if each.kind == "video"]
    if policy == "api_only" and not bought:
        raise ConfigError('api_only needs an [endpoints.NAME] of kind = "video" in conductor.toml')
    # Last of all what is always there: a night ends with a film, and the receipts say who made it.
    return {
        "local_first": (*local, *bought, TEMPLATES),
        "local_only": (*local, TEMPLATES),
        "api_only": tuple(bought),
    }[policy]


def checked(settings: CodeSettings, name: str) -> str:
    """Raises `UsageError` for an engine that nobody has."""
    drawing = {key: each for key, each in settings.endpoints.items() if each.kind != "chat"}
    if name == TEMPLATES or name in drawing:
        return name
    known = (TEMPLATES, *drawing)
    near = did_you_mean(name, known) or f" (there are: {', '.join(known)})"
    raise UsageError(f"no engine is named {name!r}{near}")


def need(settings: CodeSettings, name: str, seconds: float) -> EngineNeed:
    """What an attempt takes of it: of a video API the milliseconds that are paid, which its price is by."""
    endpoint: Endpoint | None = settings.endpoints.get(name)
    if name == TEMPLATES or endpoint is None:
        return EngineNeed(name=TEMPLATES)
    tokens = math.ceil(seconds) * 1000 if endpoint.kind == "video" else 0
    counters = {name: 1} if name in settings.counters else {}
    return EngineNeed(name=name, rates={name: RateNeed(tokens=tokens)}, counters=counters)
