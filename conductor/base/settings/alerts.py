"""`[alerts]`: from where on something is wrong, and who is told. docs/settings.md shows these lines."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from conductor.base import hours
from conductor.base.settings.base_section import (
    NotNegative,
    NotNegativeFloat,
    Positive,
    Program,
    Section,
    Validator,
)
from conductor.model.alerts import AlertRuleName, AlertThresholds


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{name!r} is no name of an environment variable; the address itself belongs into one"
        )
    if name.upper().startswith("CONDUCTOR_"):
        raise ValueError(f"{name!r} would be a setting: variables of that beginning are")
    return name


def _quiet(text: str) -> str:
    if text:
        hours.parse(text)
    return text


VariableName = Annotated[str, Validator(_variable)]


class AlertSettings(Section, frozen=True, kw_only=True):
    """What is called wrong, and who is told. `conductor alerts` shows what is raised; each rule has a page in
    `docs/runbooks/`.
    """

    #: Without it nothing is judged and nobody is told.
    is_on: bool = True
    #: Rules that are switched off: `["scratch-low"]`.
    off: tuple[AlertRuleName, ...] = ()
    #: Names of environment variables, none of which begins with `CONDUCTOR_`. Each holds the address of one
    #: channel, as apprise writes it: `slack://…`, `mailto://…`, `ntfy://…`, `json://…`. The name is the
    #: channel's.
    channels_env: tuple[VariableName, ...] = ()
    #: A program and its arguments that is run for each message, which it gets as JSON on its stdin. No shell
    #: reads it, and it gets none of the secrets.
    command: Program = ()
    #: It is killed, with all that it started, when it has run for so long.
    command_timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    #: Name of the environment variable that holds the address of a dead-man's switch: `/start`, itself,
    #: `/EXIT CODE` and `/fail` behind it are called by the conductor.
    ping_env: VariableName | None = None
    #: So often, while the conductor ticks.
    ping_every_s: Positive = 60.0
    #: Local time in which only what is urgent is said: `"22:00-07:00"`.
    quiet: Annotated[str, Validator(_quiet)] = ""
    #: A reminder of what is still wrong after so long, the next after twice that, a day at most. 0: none.
    repeat_s: NotNegativeFloat = 14_400.0
    #: It is over once it was not so for so long: what comes and goes is one alert.
    clear_s: NotNegativeFloat = 30.0
    #: Through one channel no more messages than that; what is held back comes with the next one.
    most_per_hour: Annotated[int, Meta(ge=1, le=1000)] = 20
    #: How often everything is looked at.
    every_s: Annotated[float, Meta(ge=0.1, le=600)] = 5.0
    #: `scratch-low`: a root with less than that, removable files among it, or one that is closed.
    scratch_free_bytes: NotNegative = 5 << 30
    #: `failures`: more attempts than that, those that cost no try left out.
    failed_per_hour: NotNegative = 20
    #: `running-long`: jobs that run for longer.
    running_s: Positive = 43_200.0
    #: `waiting-long`: jobs that wait for longer, and may go.
    waiting_s: Positive = 86_400.0
    #: `node-gone`, `worker-gone`, `no-leader`, `conductor-gone`, `scratch-low`: when it has been so for so
    #: long.
    gone_s: NotNegativeFloat = 60.0
    #: `nothing-admitted`: when it has been so for so long.
    idle_s: NotNegativeFloat = 600.0
    #: `review-debt`: more jobs in review than that.
    review_jobs: NotNegative = 20
    #: `budget-near`: no more than this part of an API's money for 24 hours is left.
    budget_left_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    #: `fallback-spike`: more attempts of a task than that ran on another engine than was meant.
    fallbacks_per_hour: NotNegative = 5
    #: `engine-fallback`: more than this part of a task's jobs of the last hour went on with a less preferred
    #: engine.
    engine_fallback_share: Annotated[float, Meta(ge=0, le=1)] = 0.1
    #: `redis-gone`: when it has not answered for so long.
    redis_s: NotNegativeFloat = 30.0

    @property
    def thresholds(self) -> AlertThresholds:
        return AlertThresholds(**{name: getattr(self, name) for name in AlertThresholds.__struct_fields__})

    @property
    def quiet_hours(self) -> hours.Spans:
        return hours.parse(self.quiet) if self.quiet else ()

    @property
    def address_variables(self) -> frozenset[str]:
        """Those that hold an address which is a secret as a whole."""
        return frozenset((*self.channels_env, *((self.ping_env,) if self.ping_env else ())))
