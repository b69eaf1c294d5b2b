"""Would anybody hear of it: channels that are not set up, and those that are dead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from conductor.base.settings.alerts import AlertSettings
from conductor.model.alerts import ChannelTally
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok

INSTALL = "pip install 'conductor-jobs[alerts]'"


def alert_channels(
    alerts: AlertSettings, tallies_of: Callable[[], Mapping[str, ChannelTally]]
) -> Iterator[DoctorFinding]:
    """Sends nothing: `conductor alerts test` does. `tallies_of`: what the node that speaks has counted."""
    if not alerts.is_on:
        yield less("alerts", "switched off: nobody is told when something is wrong", "[alerts] is_on = true")
        return
    if not (alerts.channels_env or alerts.command):
        told = "what is wrong stands in the log and in `conductor alerts`, and nobody is told"
        yield less("alerts", told, "[alerts] channels_env or command names a channel")
    for name in (*alerts.channels_env, *((alerts.ping_env,) if alerts.ping_env else ())):
        if not os.environ.get(name):
            yield bad(f"channel {name}", f"its address is not set: ${name} is empty", f"export {name}=…")
    if alerts.channels_env and not has_apprise():
        yield bad("alerts", "apprise is not installed: no channel can be used", INSTALL)
        return
    tallies = tallies_of()
    for name in (*alerts.channels_env, *(("command",) if alerts.command else ())):
        tally = tallies.get(name, ChannelTally())
        if tally.fault:
            words = f"the last message did not arrive ({tally.failed} failed): {tally.fault}"
            yield bad(f"channel {name}", words, "try it: conductor alerts test")
        elif name == "command" or os.environ.get(name):
            yield ok(f"channel {name}", f"{tally.sent} sent" if tally.sent else "nothing was sent yet")


def has_apprise() -> bool:
    from importlib.util import find_spec

    return find_spec("apprise") is not None
