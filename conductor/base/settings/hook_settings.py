"""`[hooks.NAME]`: what a signed delivery starts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from conductor.base.settings.schedule_settings import SCHEDULE_NAME, checked_run
from conductor.base.settings.sections import Section


class HookSettings(Section):
    """What a delivery to `/hooks/NAME` starts, signed by the rules of Standard Webhooks."""

    #: Name of the environment variable that holds the secret the deliveries are signed with (`whsec_…`).
    secret_env: str
    #: A workflow and its arguments, planned for each delivery: `{payload}` is the file with its body.
    run: Annotated[str, AfterValidator(checked_run)]
    #: Where its jobs go. None: `backlog:NAME`.
    backlog: Annotated[str, Field(pattern=SCHEDULE_NAME)] | None = None
