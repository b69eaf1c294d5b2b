"""What `conductor alerts` and `doctor` say of alerts and channels."""

from __future__ import annotations

import pytest
from builders import NOW

from conductor.base.settings.alerts import AlertSettings
from conductor.model.alerts import Alert, ChannelTally
from conductor.views.alerts import AlertsNow, alert_lines
from conductor.views.doctor import alerts as doctor_alerts

ALERT = Alert(
    rule="nas-gone",
    subject="node1/nas",
    level="urgent",
    words="gone",
    runbook="nas-gone.md",
    since=NOW - 60,
    last_at=NOW,
    raised_at=NOW,
)


def test_it_says_for_how_long_whether_anybody_was_told_and_where_to_read_on() -> None:
    found = AlertsNow(now=NOW, judged_at=NOW - 1, alerts=(ALERT,))
    assert list(alert_lines(found)) == [
        "URGENT  nas-gone node1/nas: gone",
        "      for 1 min 00 s, nobody was told yet; docs/runbooks/nas-gone.md",
    ]


def test_where_nobody_looks_it_says_so() -> None:
    assert "nobody has looked yet" in next(alert_lines(AlertsNow(now=NOW)))
    stale = list(alert_lines(AlertsNow(now=NOW, judged_at=NOW - 90)))
    assert stale == [
        "nobody has looked for 1 min 30 s: is a node up? What follows was so then",
        "nothing is raised",
    ]


def test_a_dead_channel_is_said() -> None:
    dead = {"ALERT_MAIL": ChannelTally(failed=3, held=2, fault="refused")}
    lines = list(alert_lines(AlertsNow(now=NOW, judged_at=NOW, channels=dead)))
    assert lines[-1] == "channel ALERT_MAIL is dead (3 failed, 2 wait): refused"


@pytest.mark.parametrize(
    ("alerts", "environ", "words"),
    [
        (AlertSettings(is_on=False), {}, "switched off"),
        (AlertSettings(), {}, "nobody is told"),
        (AlertSettings(channels_env=("ALERT_A",)), {}, "$ALERT_A is empty"),
        (AlertSettings(channels_env=("ALERT_A",)), {"ALERT_A": "json://x"}, "(3 failed): refused"),
        (AlertSettings(command=("notify",)), {}, "nothing was sent yet"),
        (AlertSettings(ping_env="ALERT_PING", command=("notify",)), {}, "$ALERT_PING is empty"),
    ],
)
def test_doctor_says_what_keeps_a_message_from_arriving(
    alerts: AlertSettings,
    environ: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    dead = {"ALERT_A": ChannelTally(failed=3, fault="refused")}
    found = doctor_alerts.alert_channels(alerts, lambda: dead)
    assert words in "; ".join(finding.words for finding in found)
    monkeypatch.setattr(doctor_alerts, "has_apprise", lambda: False)
    said = [finding.words for finding in doctor_alerts.alert_channels(alerts, lambda: dead)]
    assert ("apprise is not installed: no channel can be used" in said) == bool(alerts.channels_env)
