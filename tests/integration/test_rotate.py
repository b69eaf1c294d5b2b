"""After a rotation all that reads the record finds it as it was; copies go to a store that locks them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from cli_tools import Cli
from rebuild_scene import RebuildScene

from conductor.adapters.files.archives import FOLDER
from conductor.adapters.files.receipt_log import (
    FileReceiptLog,
    ReceiptFiles,
    read_receipts,
    receipts_naming,
    receipts_of,
    superseded,
)
from conductor.adapters.files.rotation import one_rotation
from conductor.app.cli.app import app as _app
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.model.receipt import MOST_UNHEARD
from conductor.model.spec import JobSpec
from conductor.ports import Ledger
from conductor.record.index.history import HistoryIndex
from conductor.record.journal import Journal
from conductor.record.removal_notes import RemovalNotes, note, read
from conductor.recovery.backup import backup, restore
from conductor.recovery.rotate import rotate

assert _app is not None
JOBS = MOST_UNHEARD + 20
STAMP = "20260330T003000Z"


@pytest.fixture
def place(project: Settings, ledger: Ledger, redis_url: str) -> RebuildScene:
    return RebuildScene(ledger, project.project, redis_url)


@pytest.fixture
def specs(place: RebuildScene) -> list[JobSpec]:
    """All are done but the last two: one is dead, one waits. The first was taken back and made again."""
    found = [a_spec(n) for n in range(JOBS)]
    place.dispatch(*found)
    for n, spec in enumerate(found[:-2]):
        place.receipt(spec, token=f"{n:08x}")
    place.receipt(found[0], "superseded", token="00000000")
    place.receipt(found[0], attempt=2, token="000000ff")
    place.receipt(found[-2], "failed", cause="bad_input", message="no")
    note(
        place.receipts, "n", [RemovalNotes(at=1.0, path="scratch:x", job_id=found[1].id, attempt=1, bytes=3)]
    )
    return found


def record(folder: Path, spec: JobSpec) -> dict[str, Any]:
    """All that is read of it, by every door. The index is one of before, at first."""
    index = HistoryIndex(folder.parent / "state", folder)
    stale = index.receipts_of(spec.id)
    assert index.refresh() and index.receipts_of(spec.id) == stale
    files = ReceiptFiles(folder)
    placed = list(files.read())
    assert [files.at(place) for place, _ in placed] == [receipt for _, receipt in placed]
    files.close()
    return {
        "receipts": list(read_receipts(folder)),
        "of one": list(receipts_of(folder, spec.id)),
        "by index": list(index.receipts_of(spec.id)),
        "naming": list(receipts_naming(folder, "scratch:none")),
        "superseded": list(superseded(folder)),
        "notes": Journal(folder).notes(),
        "removed": list(read(folder)),
    }


def test_the_record_reads_as_before(place: RebuildScene, specs: list[JobSpec], project: Settings) -> None:
    before = record(place.receipts, specs[0])

    done = rotate(project.layout, 1e12, STAMP)

    assert done.receipts == len(before["receipts"]) - MOST_UNHEARD and done.removals == 1 and not done.busy
    assert {Path(path).name for path in done.archives} == {
        f"{STAMP}.w.jsonl.gz",
        f"{STAMP}.n.removed.gz",
    }, "the journal has one note, and its last one stays"
    assert record(place.receipts, specs[0]) == before
    Journal(place.receipts).operator("retried", {specs[-2].id: 1})
    assert rotate(project.layout, 1e12, "20260331T003000Z").notes == 1
    assert [n.n for n in Journal(place.receipts).notes()] == [1, 2], "numbers go on"
    Journal(place.receipts).operator("retried", {specs[-2].id: 1})
    assert [n.n for n in Journal(place.receipts).notes()] == [1, 2, 3]
    assert rotate(project.layout, 0.0, "20260401T003000Z").archives == (), "nothing is so old"


def test_rebuild_verify_audit_and_explain_read_archives(
    place: RebuildScene,
    specs: list[JobSpec],
    project: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cli = Cli(project.project, capsys, monkeypatch)
    place.flush()
    place.rebuild()
    before, told = place.sets(), cli("verify", str(place.manifest), "--json").json
    shown = cli("rotate", "--keep-days", "0", "--json").json
    assert shown["receipts"] > 0 and shown["uploaded"] is None
    place.flush()

    place.rebuild()

    assert place.sets() == before and len(before["done"]) == JOBS - 2
    assert cli("verify", str(place.manifest), "--json").json == told
    audited = cli("audit", "--json")
    assert audited.code == 0, audited.out
    assert "attempt 1: ok" in cli("explain", specs[1].id).out
    assert "nothing is old enough" in cli("rotate", "--keep-days", "99999").out
    assert cli("rotate", "--keep-days", "-1").code == 2


def test_a_backup_holds_the_archives_and_no_rotation_comes_between(
    place: RebuildScene, specs: list[JobSpec], project: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rotate(project.layout, 1e12, STAMP)
    file = project.project / "b.tar.gz"
    backup(project.layout, file)
    other = load(tmp_path_factory.mktemp("elsewhere"))
    restore(other.layout, file)
    assert list(read_receipts(other.receipts_dir)) == list(read_receipts(place.receipts))
    with one_rotation(place.receipts, is_shared=True), one_rotation(place.receipts, is_shared=True):
        pass


def test_logs_that_were_put_aside_are_packed(project: Settings) -> None:
    project.logs_dir.mkdir(exist_ok=True)
    for name in ("conduct.jsonl", "conduct.1.jsonl", "conduct.2.jsonl", "gone.1.jsonl"):
        (project.logs_dir / name).write_text(name)
    assert rotate(project.layout, 1e12, STAMP).logs == 3
    assert [path.name for path in project.logs_dir.glob("*.jsonl")] == ["conduct.jsonl"]
    assert len(list((project.logs_dir / FOLDER).glob("*.gz"))) == 3
    assert not list((project.logs_dir / FOLDER).glob("*.jsonl"))


def test_a_writer_that_lives_goes_on_behind_the_header(place: RebuildScene, specs: list[JobSpec]) -> None:
    log = FileReceiptLog(place.receipts, "w")
    one = next(receipts_of(place.receipts, specs[3].id))
    log.append(one)
    project = load(place.receipts.parent)
    before = list(read_receipts(place.receipts))
    rotate(project.layout, 1e12, STAMP)
    log.look()
    log.append(one)
    log.close()
    assert list(read_receipts(place.receipts)) == [*before, one]


# ── the store ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A real server on loopback that speaks S3, with object lock."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_archives_are_copied_once_and_locked(
    place: RebuildScene,
    specs: list[JobSpec],
    project: Settings,
    store: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boto3 = pytest.importorskip("boto3")
    errors = pytest.importorskip("botocore.exceptions")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=store)
    client.create_bucket(Bucket="night", ObjectLockEnabledForBucket=True)
    with (project.project / CONFIG_NAME).open("a") as file:
        file.write(f'\n[archive]\ns3_url = "{store}"\nbucket = "night"\nprefix = "studio/"\n')
        file.write("object_lock_days = 30\n")
    cli = Cli(project.project, capsys, monkeypatch)

    first = cli("rotate", "--keep-days", "0", "--json")
    assert first.code == 0, first.err
    again = cli("rotate", "--keep-days", "0", "--json")

    assert (first.json["uploaded"], again.json["uploaded"]) == (2, 0), first.err
    keys = [found["Key"] for found in client.list_objects_v2(Bucket="night")["Contents"]]
    assert all(key.startswith("studio/receipts/") for key in keys) and len(keys) == 2
    (archive,) = (place.receipts / FOLDER).glob("*.w.jsonl.gz")
    kept = client.get_object(Bucket="night", Key=f"studio/receipts/{archive.name}")
    assert kept["Body"].read() == archive.read_bytes()
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    version = kept["VersionId"]
    with pytest.raises(errors.ClientError, match="AccessDenied"):
        client.delete_object(Bucket="night", Key=f"studio/receipts/{archive.name}", VersionId=version)

    config = (project.project / CONFIG_NAME).read_text()
    (project.project / CONFIG_NAME).write_text(config.replace('"night"', '"no-such-bucket"'))
    refused = cli("rotate", "--keep-days", "0")
    assert refused.code == 3 and "bucket no-such-bucket" in refused.err, refused.err
    (project.project / CONFIG_NAME).write_text(config.replace(store, "http://127.0.0.1:9"))
    assert cli("rotate", "--keep-days", "0").code == 4
