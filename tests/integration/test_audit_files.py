"""An audit of manifests, receipts and outputs alone, where no ledger is asked: each planted fault is
named.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_scene import bad
from cli_tools import Cli
from verify_scene import VerifyScene

from conductor.base.settings.settings import Settings
from conductor.record import manifest
from conductor.recovery import audit


@pytest.fixture
def place(tmp_path: Path) -> VerifyScene:
    return VerifyScene(tmp_path)


def of_files(place: VerifyScene, is_hashing: bool = True) -> dict[str, tuple[str, ...]]:
    manifest.write(place.manifest, place.specs)
    return bad(audit.audit_files([place.manifest], place.settings.layout, is_hashing))


def test_without_redis_what_is_done_and_what_waits_is_sound(place: VerifyScene) -> None:
    first = place.job(0)
    place.done(first)
    place.job(1, after=(first.id,))
    place.receipt(place.job(2), outcome="failed", cause="task_error")
    assert of_files(place) == {}


def test_without_redis_every_planted_fault_is_named(place: VerifyScene) -> None:
    twice, gone, altered, early, undeclared = (place.job(n) for n in range(5))
    late = place.job(5)
    early_one = place.job(6, after=(late.id,))
    for spec in (twice, gone, altered, early, undeclared, early_one):
        place.done(spec)
    place.done(twice, attempt=2)
    place.file(gone.writes[0].path).unlink()
    place.file(altered.writes[0].path).write_bytes(b"[]")
    place.receipt(undeclared, 3, outcome="superseded")

    found = of_files(place)

    assert {check: [fault.split(":")[0] for fault in faults] for check, faults in found.items()} == {
        "receipts": [twice.id, undeclared.id],
        "order": [early_one.id],
        "outputs": [gone.id, altered.id],
    }
    assert [f.split(":")[0] for f in of_files(place, is_hashing=False)["outputs"]] == [gone.id]


def test_the_command_names_each_offender_and_is_1(cli: Cli, project: Settings) -> None:
    place = VerifyScene(project.project)
    for n in range(6):
        place.done(place.job(n))
        place.file(place.specs[n].writes[0].path).unlink()
    manifest.write(place.manifest, place.specs)

    shown = cli("audit", "--manifest", str(place.manifest))

    assert shown.code == 1
    assert all(spec.id in shown.out for spec in place.specs)
    assert "BAD  outputs: " in shown.out
    report = cli("audit", "--manifest", str(place.manifest), "--json").json
    assert [len(check["faults"]) for check in report["checks"] if not check["is_sound"]] == [6]


@pytest.fixture
def cli(project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(project.project, capsys, monkeypatch)
