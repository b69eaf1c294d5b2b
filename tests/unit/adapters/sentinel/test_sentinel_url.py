"""Addresses of Sentinels: what is read, what is refused, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.adapters.redis.client import address, connect
from conductor.adapters.redis.sentinel.following_connection import FollowingTls
from conductor.adapters.redis.sentinel.sentinel_url import read_sentinel_url
from conductor.base import secrets
from conductor.base.errors import ConfigError
from conductor.base.secrets import passwords, without_passwords
from conductor.base.settings.settings import CONFIG_NAME, load

FULL = (
    "redis+sentinel://work%40er:p%2Fw%40rd@a.lan:1,b.lan,[fd00::1]:3/my-master/2"
    "?sentinel_username=looker&sentinel_password=other%20word&health_check_interval=7"
)


def test_all_parts_are_read() -> None:
    url = read_sentinel_url(FULL)
    assert url.sentinels == (("a.lan", 1), ("b.lan", 26379), ("fd00::1", 3))
    assert (url.service, url.has_tls, url.majority) == ("my-master", False, 2)
    assert url.options == {
        "username": "work@er", "password": "p/w@rd", "db": 2, "health_check_interval": 7,
    }  # fmt: skip
    assert url.sentinel_options == {
        "username": "looker", "password": "other word", "health_check_interval": 7,
    }  # fmt: skip


def test_tls_is_spoken_with_both(tmp_path: Path) -> None:
    url = read_sentinel_url(f"rediss+sentinel://h/m?ssl_ca_certs={tmp_path}/ca.pem")
    assert url.has_tls and url.options["ssl_ca_certs"] == url.sentinel_options["ssl_ca_certs"]
    client = connect("rediss+sentinel://h/m")
    assert client.connection_pool.connection_class is FollowingTls


@pytest.mark.parametrize(
    "wrong",
    [
        "redis+sentinel://h:1",
        "redis+sentinel:///m/0",
        "redis+sentinel://h:1/m/db",
        "redis+sentinel://h:1/m/1/2",
        "redis+sentinel://h:99999/m",
        "redis+sentinel://h:1,,g:2/m",
        "redis+sentinel://u:secret-word@h:x/m",
        "redis+sentinel://h:1/m?health_check_interval=often",
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_opened(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"redis\.url .* cannot be used") as told:
        connect(wrong)
    assert "secret-word" not in str(told.value)


def test_no_password_is_shown(tmp_path: Path) -> None:
    assert passwords(FULL) >= {"p/w@rd", "other word"}
    shown = without_passwords(FULL)
    assert "p%2Fw" not in shown and "other" not in shown and "b.lan" in shown
    (tmp_path / CONFIG_NAME).write_text(f'[redis]\nurl = "{FULL}"\n')
    assert {"p/w@rd", "other word"} <= secrets.values(load(tmp_path).secrets, {})
    assert address(connect(FULL)) == "my-master (Sentinels a.lan:1, b.lan:26379, [fd00::1]:3)"
