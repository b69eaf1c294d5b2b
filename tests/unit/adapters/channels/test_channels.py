"""Channels against real servers on loopback and real programs: what arrives, and what is said when nothing
does.
"""

from __future__ import annotations

import base64
import builtins
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import NOW
from loguru import logger
from loopback_hook import Hook, hook

from conductor.adapters.channels.apprise_address import NOT_INSTALLED, AppriseAddress
from conductor.adapters.channels.dead_mans_switch import DeadMansSwitch, call, switch
from conductor.adapters.channels.local_command import LocalCommand
from conductor.model.alerts import Alert, AlertMessage, AlertNotice

ALERT = Alert(
    rule="nas-gone", subject="node1/nas", words="gone", runbook="nas-gone.md", since=NOW, last_at=NOW
)
MESSAGE = AlertMessage(
    title="night: raised: nas-gone",
    body="RAISED nas-gone node1/nas: gone <b>*x*",
    level="urgent",
    project="night",
    node="node1",
    notices=(AlertNotice(kind="raised", alert=ALERT),),
)


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as found:
        yield found


# ── apprise ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_gets_title_words_and_kind(server: Hook) -> None:
    assert AppriseAddress("ALERT_HOOK", f"json://{server.place}/alerts").send(MESSAGE) == ""
    heard = server.next()
    body = json.loads(heard.body)
    assert heard.path == "/alerts"
    assert (body["title"], body["message"], body["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


def test_a_file_goes_along_where_the_service_takes_one(server: Hook, tmp_path: Path) -> None:
    file = tmp_path / "night.html"
    file.write_text("<p>The night.</p>")
    message = msgspec.structs.replace(MESSAGE, attachment=str(file))
    assert AppriseAddress("ALERT_HOOK", f"json://{server.place}/alerts").send(message) == ""
    (sent,) = json.loads(server.next().body)["attachments"]
    assert sent["filename"] == "night.html" and base64.b64decode(sent["base64"]) == file.read_bytes()


def test_a_dead_channel_says_why_and_nothing_of_its_address(
    server: Hook, capfd: pytest.CaptureFixture[str]
) -> None:
    server.status = 500
    refused = AppriseAddress("ALERT_HOOK", f"json://{server.place}/services/T0K3Nabcdef").send(MESSAGE)
    assert "error=500" in refused and "T0K3Nabcdef" not in refused
    gone = AppriseAddress("ALERT_HOOK", "json://user:S3cretpw@127.0.0.1:1/T0K3Nabcdef").send(MESSAGE)
    assert "onnection" in gone and "S3cretpw" not in gone
    assert capfd.readouterr() == ("", ""), "its log would have told the address"


def test_an_address_that_is_none_or_not_there_is_a_sentence() -> None:
    assert "is not set" in AppriseAddress("ALERT_HOOK", "").send(MESSAGE)
    said = AppriseAddress("ALERT_HOOK", "nonsense://S3cretT0ken").send(MESSAGE)
    assert said == "what ALERT_HOOK holds is no address that apprise knows"


def test_without_apprise_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *more: Any) -> Any:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert AppriseAddress("ALERT_HOOK", "json://127.0.0.1:1/").send(MESSAGE) == NOT_INSTALLED


# ── a program ─────────────────────────────────────────────────────────────────────────────────────────────


def a_command(tmp_path: Path, body: str, timeout_s: float = 20.0) -> LocalCommand:
    program = tmp_path / "notify.py"
    program.write_text(body, encoding="utf-8")
    env = {"PATH": os.environ["PATH"]}
    return LocalCommand((sys.executable, str(program), "--fixed"), tmp_path, env, timeout_s)


def test_a_program_gets_the_message_on_stdin_and_nothing_of_it_as_an_argument(tmp_path: Path) -> None:
    body = "import sys, os; open('got', 'wb').write(sys.stdin.buffer.read()); "
    body += "open('argv', 'w').write(repr((sys.argv[1:], sorted(os.environ))))"
    assert a_command(tmp_path, body).send(MESSAGE) == ""
    got = json.loads((tmp_path / "got").read_text())
    assert got["title"] == MESSAGE.title and got["notices"][0]["kind"] == "raised"
    assert (
        got["notices"][0]["alert"]["figures"] == {} and got["notices"][0]["alert"]["subject"] == "node1/nas"
    )
    argv, environ = eval((tmp_path / "argv").read_text())
    assert argv == ["--fixed"] and not {name for name in environ if name.startswith(("CONDUCTOR", "ALERT"))}


def test_a_program_that_fails_hangs_or_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    failed = a_command(tmp_path, "import sys; sys.exit('no modem\\x1b[31m')").send(MESSAGE)
    assert failed == "exit 1: no modem\\x1b[31m"
    began = time.monotonic()
    # Its child keeps the pipe open, too: all of them are ended.
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    hangs = f"import subprocess, sys, time; {child}; time.sleep(60)"
    assert "was killed" in a_command(tmp_path, hangs, 0.5).send(MESSAGE)
    assert time.monotonic() - began < 20
    missing = LocalCommand(("/no/such/program",), tmp_path, {}, 5.0).send(MESSAGE)
    assert missing == "/no/such/program cannot be started: No such file or directory"
    deaf = a_command(tmp_path, "import os; os.close(0)").send(AlertMessage(title="t", body="x" * 1_000_000))
    assert deaf in ("", "exit 0"), "who does not read it has been told all the same"


# ── the dead-man's switch ─────────────────────────────────────────────────────────────────────────────────


def test_it_is_called_while_there_are_ticks_and_told_how_it_ended(server: Hook) -> None:
    with switch(f"http://{server.place}/uuid-1", 0.05) as ticks:
        ticks.ticked()
        assert server.next().path == "/uuid-1/start"
        ticks.ticked()
        assert server.next().path == "/uuid-1"
        # Ticks that stop stop the calls: the alarm is the other side's.
        time.sleep(0.2)
        while not server.heard.empty():
            server.next()
        time.sleep(0.15)
        assert server.heard.empty()
        ticks.end("1")
    assert server.next().path == "/uuid-1/1"


def test_an_error_is_a_failure_and_a_standby_says_nothing(server: Hook) -> None:
    def fails(has_ticked: bool) -> None:
        with pytest.raises(KeyboardInterrupt), switch(f"http://{server.place}/u", 60.0) as ticks:
            if has_ticked:
                ticks.ticked()
                assert server.next().path == "/u/start"
            raise KeyboardInterrupt

    fails(True)
    assert server.next().path == "/u/fail"
    fails(False)
    assert server.heard.empty()


def test_a_switch_that_is_not_reached_is_said_once_without_its_address() -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    ticks = DeadMansSwitch("http://127.0.0.1:1/T0K3Nabcdef", 0.02)
    ticks.start()
    ticks.ticked()
    time.sleep(0.15)
    ticks.ticked()
    ticks.end("0")
    logger.remove(sink)
    assert len(lines) == 1 and "was not reached" in lines[0] and "T0K3N" not in lines[0]


def test_only_http_is_called(server: Hook) -> None:
    assert "neither http" in call("file:///etc/passwd", "")
    server.status = 404
    assert call(f"http://{server.place}/u?x=1", "0") == "it answered 404"
    assert server.next().path == "/u/0?x=1"
