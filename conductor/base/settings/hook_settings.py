"""`[hooks.NAME]`: what a signed delivery starts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from conductor.base.settings.base_section import Section, Validator, ValueWords
from conductor.base.settings.schedule_settings import NAME_IN_WORDS, SCHEDULE_NAME, checked_run


class HookSettings(Section, frozen=True, kw_only=True):
    """What a delivery to `/hooks/NAME` starts, signed by the rules of Standard Webhooks."""

    #: Name of the environment variable that holds the secret the deliveries are signed with (`whsec_…`).
    secret_env: str
    #: A workflow and its arguments, planned for each delivery: `{payload}` is the file with its body.
    run: Annotated[str, Validator(checked_run)]
    #: Where its jobs go. None: `backlog:NAME`.
    backlog: Annotated[str, Meta(pattern=f"^{SCHEDULE_NAME}$"), ValueWords(NAME_IN_WORDS)] | None = None
