"""`[alerts]`: what it takes, and that no address of a channel is shown anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.secrets import for_bodies, for_programs, scrub, values
from conductor.base.settings.origin import settings_with_origin
from conductor.base.settings.settings import load
from conductor.model.alerts import AlertThresholds

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#night"


def a_project(folder: Path, text: str) -> Path:
    (folder / "conductor.toml").write_text(f"[alerts]\n{text}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('off = ["nas-gonne"]', "nas-gone"),
        ('quiet = "22-7"', "no span of hours"),
        ('channels_env = ["slack://x/y"]', "no name of an environment variable"),
        ('channels_env = ["CONDUCTOR_SLACK"]', "would be a setting"),
        ('ping_env = "https://hc.example/uuid"', "no name of an environment variable"),
        ("failed_an_hour = 3", "failed_per_hour"),
        ("budget_left_share = 2", "a number, from 0, to 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(a_project(tmp_path, text))
    assert words in str(refused.value)


def test_thresholds_are_those_of_the_settings_and_the_defaults_agree(tmp_path: Path) -> None:
    assert load(tmp_path).alerts.thresholds == AlertThresholds()
    changed = load(a_project(tmp_path, "failed_per_hour = 3\ngone_s = 5")).alerts.thresholds
    assert changed == AlertThresholds(failed_per_hour=3, gone_s=5.0)


def test_an_address_is_in_no_setting_no_log_and_no_childs_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_SLACK", SLACK)
    monkeypatch.setenv("ALERT_PING", "https://hc-ping.example/4a1c3f5e-99aa-4a3c-8f00-0242ac120002")
    folder = a_project(tmp_path, 'channels_env = ["ALERT_SLACK"]\nping_env = "ALERT_PING"')
    settings = load(folder)
    shown = str(settings_with_origin(settings))
    assert "ALERT_SLACK" in shown and "TIiajk" not in shown and "4a1c3f5e" not in shown
    said = f"POST to {SLACK} and /A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ of T1JJ3T3L2 failed; 4a1c3f5e-99aa-4a3c"
    assert not any(part in scrub(said) for part in ("A1BRTD4JD", "TIiajk", "T1JJ3T3L2"))
    assert scrub("the night is over at hc-ping.example") == "the night is over at hc-ping.example"
    assert "4a1c3f5e-99aa-4a3c-8f00-0242ac120002" in values(settings.secrets)
    environ = {"ALERT_SLACK": SLACK, "PATH": "/bin"}
    assert for_bodies(settings.secrets, environ) == {"PATH": "/bin"}
    assert for_programs(settings.secrets.variables, environ) == {"PATH": "/bin"}
