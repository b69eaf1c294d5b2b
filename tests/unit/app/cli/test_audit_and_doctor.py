"""audit and doctor: what they say of a sound project, and of one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from builders import a_report
from cli_tools import Cli

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.settings.settings import Settings

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene


def test_audit_of_a_sound_ledger_is_0(cli: Cli, night: NightScene, redis_url: str):
    from redis import Redis

    night.ledger.reports.publish(a_report(), 60)
    log = FileReceiptLog(cli.project / "receipts", "w1")
    log.append(night.finish(0))
    log.close()
    night.start(1)
    night.fail(2, "task_error", "broken")
    with Redis.from_url(redis_url, protocol=2) as redis:
        redis.lpop("rq:queue:cpu-node1")  # as its worker took it

    shown = cli("audit")

    assert shown.code == 0, shown.out
    assert "ok   conservation: 4 jobs, each in exactly one state" in shown.out
    assert all(check["is_sound"] for check in cli("audit", "--json").json["checks"])


def test_audit_names_a_job_that_was_lost_and_is_1(cli: Cli, night: NightScene, redis_url: str):
    from redis import Redis

    with Redis.from_url(redis_url, protocol=2) as redis:
        redis.hdel("conductor:state", night.ids[3])

    shown = cli("audit")

    assert shown.code == 1
    assert "BAD  conservation: night: 4 counted as waiting, 3 there" in shown.out


def test_audit_names_a_device_that_is_overbooked(cli: Cli, night: NightScene):
    night.start(0, devices=("gpu0",), vram_mib=30_000, lane="gpu")
    night.ledger.reports.publish(a_report(), 60)

    shown = cli("audit")

    assert shown.code == 1
    assert "BAD  ceilings: node1/gpu0:vram_mib: 30000 reserved of 24576" in shown.out


def test_doctor_finds_this_machine_ready_and_names_a_folder_that_is_not(cli: Cli, tmp_path: Path):
    ready = cli("doctor")
    assert ready.code == 0, ready.out
    assert all(line.startswith(("ok ", "-- ", "      →")) for line in ready.out.splitlines())

    with (tmp_path / "conductor.toml").open("a") as file:
        file.write('shell_programs_missing = "x"\n')
    assert cli("doctor").code == 3


def test_doctor_says_what_to_do_about_what_is_wrong(cli: Cli, project: Settings):
    toml = (project.project / "conductor.toml").read_text()
    (project.project / "published").rmdir()
    (project.project / "published").write_text("a file in the way")
    extra = 'shell_programs = ["no-such-program"]\n'
    endpoint = '[endpoints.cloud]\nbase_url = "http://localhost:1"\napi_key_env = "NO_SUCH_KEY"\n'
    (project.project / "conductor.toml").write_text(extra + toml + endpoint)

    shown = cli("doctor", "--json")

    bad = {finding["what"]: finding for finding in json.loads(shown.out) if finding["mark"] == "BAD"}
    assert shown.code == 1
    assert set(bad) == {"root published", "program", "endpoint cloud"}
    assert "roots.published.path" in bad["root published"]["advice"]
    assert bad["endpoint cloud"]["advice"] == "export NO_SUCH_KEY=…"
