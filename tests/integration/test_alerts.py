"""A running `conductor up` whose share goes away and whose conductor stands still: what a webhook hears, what
the command line says. On the same system each command of the runbooks is run.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from builders import a_spec
from cli_tools import Cli, conductor
from loopback_hook import Hook, hook
from loopback_smtp import SmtpServer, smtp
from node_scene import CONFIG, project_processes, until

from conductor.adapters.host.processes import live_pid
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.spec import to_line
from conductor.node.single_instance import up_file
from conductor.record.journal import Journal

ROOT = Path(__file__).parents[2]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
ALERTS = """
[roots.nas]
path = "nas"
marker = ".conductor-mount"
headroom_bytes = 0
[alerts]
channels_env = ["ALERT_HOOK", "ALERT_MAIL"]
every_s = 0.2
clear_s = 0.2
gone_s = 0.5
off = ["worker-gone", "scratch-low"]
[breaker]
failures = 2
first_probe_s = 900
[schedules.nightly]
cron = "0 18 * * *"
run = "system_test"
"""
#: Of the runbooks: with these the system of this module is started and stopped.
BEGIN, END = "conductor up --detach", "conductor down"
FAILS = """
from workers import task

@task("night.fails", lane="cpu")
def fails(args, ctx):
    raise ValueError("no such camera")
"""


class Night(NamedTuple):
    settings: Settings
    hook: Hook
    smtp: SmtpServer
    job: str

    @property
    def marker(self) -> Path:
        return self.settings.roots["nas"].path / ".conductor-mount"

    def hears(self, words: str, limit_s: float = 20.0) -> str:
        """The first message with that in it; those before are passed over."""
        while words not in (body := str(json.loads(self.hook.next(limit_s).body)["message"])):
            pass
        return body

    def reads(self, words: str, limit_s: float = 20.0) -> str:
        """Of the first mail with that in it, maybe beside what else waited; those before are passed over."""
        while words not in (text := self.smtp.next(limit_s).text):
            pass
        return text

    def part(self, word: str) -> psutil.Process:
        up = psutil.Process(live_pid(up_file(self.settings.layout)))
        return next(process for process in up.children() if process.cmdline()[-1:] == [word])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Begun and ended by the runbooks' own commands."""
    folder = tmp_path_factory.mktemp("night")
    shutil.copytree(ROOT / "manifests" / "examples", folder / "manifests")
    shutil.copytree(ROOT / "workflows" / "system_test", folder / "workflows" / "system_test")
    (folder / "nas").mkdir()
    (folder / "nas" / ".conductor-mount").touch()
    (folder / "night_tasks.py").write_text(FAILS)
    config = f'task_modules = ["night_tasks"]\n{CONFIG}is_on = false\n{ALERTS}'
    (folder / CONFIG_NAME).write_text(config)
    failing = (a_spec(n, task="night.fails", retry={"task_error": 0}) for n in range(4))
    lines = b"".join(to_line(spec) + b"\n" for spec in failing)
    (folder / "manifests/night.jsonl").write_bytes((folder / "manifests/hello.jsonl").read_bytes() + lines)
    settings = load(folder)
    with hook() as server, smtp() as mails, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALERT_HOOK", f"json://{server.place}/alerts")
        patch.setenv(
            "ALERT_MAIL", f"mailto://127.0.0.1:{mails.port}?from=night@house.example&to=me@house.example"
        )
        patch.setenv("CONDUCTOR_PROJECT", str(folder))
        try:
            does(BEGIN, folder)
            does("conductor dispatch manifests/night.jsonl", folder)
            job = json.loads((folder / "manifests/hello.jsonl").read_text().splitlines()[0])["id"]
            yield Night(settings, server, mails, job)
            does(END, folder)
        finally:
            for process in project_processes(folder):
                process.kill()


def does(line: str, folder: Path) -> None:
    ended = conductor(*shlex.split(line)[1:], cwd=folder)
    assert ended.code == 0, ended.err


@pytest.fixture
def cli(night: Night, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(night.settings.project, capsys, monkeypatch)


def test_jobs_that_fail_alike_are_told_with_their_words(night: Night) -> None:
    assert "no such camera" in night.hears("RAISED breaker-open night.fails")


def test_a_share_that_goes_is_told_shown_and_told_when_it_is_back(night: Night, cli: Cli) -> None:
    night.marker.unlink()
    body = night.hears("RAISED nas-gone")
    assert "the root nas" in body and "marker .conductor-mount is missing" in body
    assert "docs/runbooks/nas-gone.md" in body
    shown = cli("alerts")
    assert "the root nas" in night.reads("RAISED nas-gone here/nas")
    assert shown.code == 1 and "URGENT  nas-gone here/nas: the root nas" in shown.out
    alert = cli("alerts", "--json").json["alerts"][0]
    assert (alert["rule"], alert["subject"], alert["runbook"]) == ("nas-gone", "here/nas", "nas-gone.md")
    night.marker.touch()
    assert "OVER nas-gone here/nas: here/nas can be used again, after" in night.hears("OVER nas-gone")
    night.reads("OVER nas-gone here/nas: here/nas can be used again, after")
    assert "nas-gone" not in cli("alerts").out
    log = (night.settings.logs_dir / "node.jsonl").read_text()
    assert '"event":"alert.raised"' in log and '"event":"alert.resolved"' in log
    assert night.hook.place not in log, "the address is nobody's to read"


def test_a_conductor_that_stands_still_is_told_by_the_node(night: Night) -> None:
    process = night.part("conduct")
    process.send_signal(signal.SIGSTOP)
    try:
        body = night.hears("RAISED conductor-gone")
    finally:
        process.send_signal(signal.SIGCONT)
    assert "did not give the lead back" in body or "has recorded no tick" in body
    night.hears("OVER conductor-gone")


def test_a_silenced_rule_is_shown_and_told_to_nobody(night: Night, cli: Cli) -> None:
    assert "nobody is told until" in cli("alerts", "silence", "nas-gone", "--for", "2h").out
    night.marker.unlink()
    shown = until(lambda: found if "nas-gone here" in (found := cli("alerts")).out else None)
    assert ", silenced until" in shown.out
    night.marker.touch()
    until(lambda: "URGENT" not in cli("alerts").out)
    assert "nas-gone is silenced until" in cli("alerts").out
    assert cli("alerts", "silence", "nas-gone", "--for", "0").out == "nas-gone: people are told again\n"
    noted = [note for note in Journal(night.settings.receipts_dir).notes() if note.what == "acted"]
    assert [note.kind for note in noted] == ["silence nas-gone"] * 2 and all(
        "@" in note.who for note in noted
    )
    assert noted[0].words.startswith("until 20") and noted[1].words == "people are told again"
    assert not any(b"nas-gone" in heard.body for heard in night.hook.all())
    refused = cli("alerts", "silence", "nas-gon", "--for", "2h")
    assert refused.code == 2 and "nas-gone" in refused.err
    assert cli("alerts", "silence", "nas-gone", "--for", "soon").code == 2


def test_a_test_message_says_which_channel_took_it(
    night: Night, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("alerts", "test") == (0, "ALERT_HOOK: arrived\nALERT_MAIL: arrived\n", "")
    assert night.hears("This is a test")
    assert "OK   channel ALERT_HOOK" in cli("doctor").out.replace("ok   ", "OK   ")
    monkeypatch.setenv("ALERT_HOOK", "json://127.0.0.1:1/T0K3Nabcdef")
    dead = cli("alerts", "test")
    assert dead.code == 1 and dead.out.startswith("ALERT_HOOK: did not arrive: ")
    assert "T0K3N" not in dead.out + dead.err
    monkeypatch.delenv("ALERT_HOOK")
    assert "$ALERT_HOOK is empty" in cli("doctor").out


# ── the runbooks ──────────────────────────────────────────────────────────────────────────────────────────

#: What a person would put into it, here.
PLACES = {"NODE": "here", "NAME": "nightly", "KIND": "night.fails"}


#: In a system as young as this one some have nothing to say yet, and say so.
NOTHING_YET = re.compile("have to run first|has not fired on this host")
#: They stay in the foreground, or start what runs already: that they are there is looked at.
STAYING = {"conductor conduct", "conductor node --detach", "conductor node --until 5min", "conductor up"}


def commands_of(text: str) -> list[str]:
    """The lines of its `sh` blocks, and what its sentences name."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    inline = re.findall(r"`(conductor [^`]*)`", text)
    return [line for block in blocks for line in block.splitlines() if line.strip()] + inline


COMMANDS = sorted({line for page in RUNBOOKS for line in commands_of(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in (BEGIN, END)])
def test_each_command_of_a_runbook_runs(line: str, night: Night, cli: Cli) -> None:
    """1 is «ran, and found something»."""
    manifest = str(night.settings.project / "manifests/night.jsonl")
    words = [{"JOB": night.job, "MANIFEST": manifest, **PLACES}.get(w, w) for w in shlex.split(line)]
    if line in STAYING:
        words.append("--help")
    if words[0] == "conductor":
        ended: Any = cli(*words[1:])
        assert ended.code in (0, 1) or NOTHING_YET.search(ended.err), ended.err
        assert "Traceback" not in ended.out + ended.err
    else:
        subprocess.run(words, cwd=night.settings.project, check=True, stdout=subprocess.DEVNULL)


def test_the_commands_that_start_and_stop_it_are_those_of_the_runbooks() -> None:
    assert {BEGIN, END} <= set(COMMANDS)
