"""Is this folder a project, and was anything done in it yet? Asked before anything is made or started
there.
"""

from __future__ import annotations

from conductor.base.errors import ConfigError
from conductor.base.settings.settings import CONFIG_NAME, Settings


def is_project(settings: Settings) -> bool:
    """It has a conductor.toml, or what `plan`, `dispatch` or `up` leave behind; or the environment names
    its Redis.
    """
    return (
        settings.redis.url is not None
        or (settings.project / CONFIG_NAME).is_file()
        or settings.state_dir.is_dir()
        or any(settings.manifests_dir.glob("*.jsonl"))
        or any(settings.receipts_dir.glob("*.j*"))
    )


def refuse_no_project(settings: Settings) -> None:
    """Raises `ConfigError`."""
    if not is_project(settings):
        raise ConfigError(f"{no_project(settings)}; go to a project's folder (or --project), or {BEGIN}")


def no_project(settings: Settings) -> str:
    return f"{settings.project} is no project: it has no {CONFIG_NAME}, no manifests and no receipts"


BEGIN = "begin one here with `conductor init`"


def has_ledger(settings: Settings) -> bool:
    """There is something to look at: a Redis of its own to ask, or files of the project's own Valkey."""
    from conductor.adapters.redis import valkey

    return settings.redis.url is not None or valkey.has_files(settings.valkey)
