"""What `conductor acl` prints is loaded whole or not at all: one word that a server does not know ends it."""

from __future__ import annotations

from conductor.app.redis_acl import acl_text, users

#: Of later versions than the oldest that is taken (7.0, which is Debian 12's).
LATER = {"client|setinfo", "client|no-touch", "waitaof", "hexpire", "hpexpire", "hgetdel", "hgetex", "hsetex"}


def test_it_names_no_command_that_redis_7_0_does_not_know() -> None:
    words = {word.lstrip("+-") for word in acl_text(users()).split()}
    assert not words & LATER
