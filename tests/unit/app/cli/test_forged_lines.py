"""Words of others on a terminal: a newline, an escape or a bidi control in them is shown, never obeyed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from builders import a_report, a_volume
from cli_tools import Cli
from loguru import logger
from rich.console import Console

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.logs import logs
from conductor.base.settings.settings import Settings
from conductor.model.decision import Verdict
from conductor.model.ledger_entries import HeldReport
from conductor.model.reason import Detail, Reason
from conductor.model.spec import to_line

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

#: Newline, CR, ESC, the C1 control that many terminals take for ESC [, NUL, two line separators, two bidi
#: controls.
CONTROLS = "\n\r\x1b\x9b\x00\x85\u2028\u2029\u202e\u2066\x07\x7f"
EVIL = f"clip{CONTROLS}night 0 0 0 9 done\x1b[2J"


@pytest.fixture
def evil_night(night: NightScene, project: Settings) -> NightScene:
    """Each word that somebody else can choose is `EVIL`."""
    night.start(0, node=EVIL, devices=(EVIL,))
    night.ledger.attempts.renew(
        "w1", 60, [HeldReport(job_id=night.ids[0], attempt=1, progress=0.4, note=EVIL)]
    )
    receipt = night.fail(1, "no_space", EVIL)
    with_log = FileReceiptLog(project.receipts_dir, "w1")
    with_log.append(receipt)
    with_log.close()
    verdict = Verdict(
        gate="cpu",
        passed=False,
        reason=Reason.NO_ROOM,
        where=EVIL,
        need=1,
        have=0,
        limit=1,
        unit=EVIL,
        holders=(EVIL,),
    )
    faulty = Verdict(
        gate="mount", passed=False, reason=Reason.ROOT_FAULTY, where=EVIL, detail=Detail(words=EVIL)
    )
    night.hold(verdict, faulty)
    report = a_report(EVIL, notes=(EVIL,), volumes=(a_volume(EVIL, path=EVIL, fault=EVIL),))
    night.ledger.reports.publish(report, 60)
    (project.project / "m.jsonl").write_bytes(b"\n".join(to_line(spec) for spec in night.specs) + b"\n")
    return night


def assert_shown(text: str) -> None:
    found = [c for c in CONTROLS if c != "\n" and c in text]
    assert not found, [hex(ord(c)) for c in found]
    assert not any(line.lstrip().startswith("night 0 0 0 9 done") for line in text.splitlines())


@pytest.mark.parametrize(
    "argv",
    ["status", "explain ID0", "explain ID1", "top", "verify m.jsonl", "audit", "doctor", "retry ID1"],
    ids=str,
)
@pytest.mark.parametrize("form", ["", "--json"])
def test_no_command_obeys_it(cli: Cli, evil_night: NightScene, project: Settings, argv: str, form: str,
                             monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.chdir(project.project)
    words = argv.replace("ID0", evil_night.ids[0]).replace("ID1", evil_night.ids[1]).split()

    shown = cli(*words, *filter(None, [form]))

    assert_shown(shown.out.replace("\r\n", "\n"))
    assert_shown(shown.err)
    if form:
        assert json.loads(shown.out) is not None


def test_the_control_is_really_stored(evil_night: NightScene):
    view = evil_night.view(1)
    assert view.message == EVIL


def test_the_live_view_does_not_obey_it(evil_night: NightScene):
    from conductor.views.live_display import render
    from conductor.views.run_watch import LedgerWatch

    out = io.StringIO()
    Console(file=out, width=300, force_terminal=False).print(
        render(LedgerWatch(evil_night.ledger, None).pace)
    )
    assert_shown(out.getvalue())


@pytest.mark.parametrize("argv", ["explain {}", "retry {}", "cancel {}", "dispatch {}", "plan {}", "{}"])
def test_what_the_user_typed_is_echoed_harmlessly(cli: Cli, argv: str):
    shown = cli(*argv.replace("{}", EVIL.replace(" ", "_").replace("\x00", "")).split(" "))
    assert shown.code != 0
    assert_shown(shown.err)


def test_a_log_file_is_one_line_a_record_for_every_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = logs.set_up(tmp_path, "x")
    assert file is not None
    logger.bind(job=EVIL, n=chr(0x1F600), tag="\U000e0001").info("did {}", EVIL)
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1 and text.rstrip("\n").isprintable()
    assert json.loads(text)["message"] == f"did {EVIL}" and json.loads(text)["job"] == EVIL
    assert json.loads(text)["n"] == chr(0x1F600) and json.loads(text)["tag"] == "\U000e0001"
    assert_shown(capsys.readouterr().err)
