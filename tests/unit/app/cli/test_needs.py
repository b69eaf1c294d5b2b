"""`conductor needs`: figures with their reasons and receipts, without Redis."""

from __future__ import annotations

import pytest
from builders import NOW
from cli_tools import Cli
from learned_scene import a_receipt, out_of_vram

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.code_version import code_version
from conductor.base.settings.settings import Settings
from conductor.model.receipt import Receipt
from conductor.model.spec import Needs

CODE = code_version("workers.tasks.media_cut")


@pytest.fixture(autouse=True)
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_REDIS__URL", "unix:///nowhere/at/all.sock")
    monkeypatch.setenv("TZ", "UTC")


def write(project: Settings, *receipts: Receipt) -> None:
    log = FileReceiptLog(project.receipts_dir, "node1-gpu-1")
    for receipt in receipts:
        log.append(receipt)
    log.close()


def test_without_receipts_what_is_declared_is_asked(cli: Cli, project: Settings):
    shown = cli("needs")

    assert (shown.code, shown.err) == (0, "")
    assert shown.out == f"no receipt in {project.receipts_dir} yet: what is asked is what is declared\n"
    assert "no receipt of media.cut in" in cli("needs", "media.cut").out


def test_a_task_nobody_knows_is_2_and_names_the_near_one(cli: Cli):
    ended = cli("needs", "media.cutt")

    assert ended.code == 2
    assert "did you mean media.cut?" in ended.err


def test_every_kind_and_size_has_its_line(cli: Cli, project: Settings):
    write(
        project,
        *(a_receipt(n, vram=1000, rss=300, code_version=CODE) for n in range(20)),
        a_receipt(30, vram=9000, size=1.5e9, code_version=CODE, node="node2"),
    )

    shown = cli("needs").out

    assert shown.splitlines()[0].split() == [
        "kind",
        "size",
        "receipts",
        "what",
        "declared",
        "p50",
        "p95",
        "asks",
    ]
    assert " ".join(shown.split()).count("media.cut – 20 VRAM 4.0 GiB 1000 MiB 1000 MiB 1.2 GiB") == 1
    assert "media.cut 1.5e+09 1 VRAM 4.0 GiB 8.8 GiB 8.8 GiB 11.0 GiB" in " ".join(shown.split())
    assert shown.splitlines()[-1] == f"from the receipts in {project.receipts_dir}, of node1, node2"


def test_of_one_task_the_receipts_are_named(cli: Cli, project: Settings):
    write(project, *(a_receipt(n, vram=3000, code_version=CODE) for n in range(8)), out_of_vram(9, vram=3900))

    shown = cli("needs", "media.cut").out

    assert "  VRAM: declared 4.0 GiB, p50 2.9 GiB, p95 4.0 GiB, at most 4.0 GiB; asks 5.0 GiB" in shown
    assert "p95 × 1.25 of 9 receipts, 1 of which ran out of it: more than declared" in shown
    assert "job-00000009 attempt 1, 2023-11-14 22:13:34 on node1: 3.8 GiB, ran out" in shown
    assert "… and 3 before (--json has them all)" in shown


def test_json_has_every_receipt_and_the_drift(cli: Cli, project: Settings):
    old = [a_receipt(n, vram=2000, code_version="0.1+old", needs=Needs()) for n in range(10)]
    new = [a_receipt(n, vram=4000, code_version=CODE, needs=Needs()) for n in range(10, 20)]
    write(project, *old, *new)

    report = cli("needs", "media.cut", "--json").json

    (kind,) = report["kinds"]
    vram = next(a for a in kind["amounts"] if a["what"] == "vram_mib")
    assert (vram["declared"], vram["p95"], vram["uses"]) == (0, 4000, 5056)
    assert [r["job_id"] for r in vram["receipts"]] == [f"job-{n:08d}" for n in range(20)]
    assert vram["receipts"][0] == {
        "job_id": "job-00000000", "attempt": 1, "at": NOW + 5, "node": "node1", "code_version": "0.1+old",
        "value": 2000, "ran_out": False,
    }  # fmt: skip
    assert [(d["what"], d["before"], d["after"], d["code"]) for d in report["drift"]] == [
        ("vram_mib", 2000, 4000, CODE)
    ]


def test_learning_that_is_off_is_said(cli: Cli, project: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONDUCTOR_LEARNING__IS_ON", "false")
    write(project, a_receipt(1, vram=9000, code_version=CODE))

    shown = cli("needs").out

    assert "learning is off" in shown.splitlines()[0]
    assert "8.8 GiB 8.8 GiB 4.0 GiB" in " ".join(shown.split())
