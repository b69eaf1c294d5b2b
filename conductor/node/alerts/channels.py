"""The channels that `[alerts]` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from conductor.adapters.channels.apprise_address import AppriseAddress
from conductor.adapters.channels.local_command import LocalCommand
from conductor.base.secrets import for_programs
from conductor.base.settings.alerts import AlertSettings
from conductor.ports.alert_channel import AlertChannel


def channels_of(
    alerts: AlertSettings,
    project: Path,
    secret_variables: frozenset[str],
    environ: Mapping[str, str] = os.environ,
) -> tuple[AlertChannel, ...]:
    """`secret_variables`: what the command does not get."""
    named = (AppriseAddress(name, environ.get(name, "").strip()) for name in alerts.channels_env)
    if not alerts.command:
        return tuple(named)
    env = for_programs(secret_variables, environ)
    return (*named, LocalCommand(alerts.command, project, env, alerts.command_timeout_s))
