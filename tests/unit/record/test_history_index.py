"""The history index on real files: fed as the record grows, and made again when either is not what it was."""

from __future__ import annotations

import gzip
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from conductor.base.errors import ConfigError
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import JobRow
from conductor.model.receipt import OutputFact, Receipt, Usage
from conductor.model.spec import JobSpec, Needs, Output, to_line
from conductor.record.index import feed as feeding
from conductor.record.index import history, query, schema
from conductor.record.index.history import HistoryIndex
from conductor.record.index.indexed_job import LiveState
from conductor.record.journal import Journal

NOW = 1_700_000_000.0
SHA = "0" * 64


def an_id(number: int) -> str:
    return f"{number:04d}job0000"


def a_spec(number: int, **more: object) -> JobSpec:
    values: dict[str, object] = {
        "v": 1,
        "id": an_id(number),
        "workflow": "night",
        "task": "media.cut",
        "reads": (f"scratch:in/clip {number:04d}.mp4",),
        "writes": (Output(path=f"published:o/{number}.mp4"),),
        **more,
    }
    return JobSpec(**values)  # type: ignore[arg-type]


def a_receipt(number: int, attempt: int = 1, **more: object) -> Receipt:
    values: dict[str, object] = {
        "v": 1,
        "job_id": an_id(number),
        "attempt": attempt,
        "workflow": "night",
        "task": "media.cut",
        "outcome": "ok",
        "started_at": NOW + 100 * number,
        "ended_at": NOW + 100 * number + 7,
        "node": "studio1",
        "worker": "w",
        "devices": ("gpu0",),
        **more,
    }
    return Receipt(**values)  # type: ignore[arg-type]


class Record:
    """A folder of receipts, and the index of it."""

    def __init__(self, folder: Path) -> None:
        self.receipts_dir = folder / "receipts"
        self.index = HistoryIndex(folder / "state", self.receipts_dir)
        self.manifests = folder
        self.file = self.receipts_dir / "w.jsonl"
        self.receipts_dir.mkdir(parents=True)

    def dispatch(self, *specs: JobSpec, name: str = "a.jsonl", backlog: str = "night") -> None:
        manifest = self.manifests / name
        manifest.write_bytes(b"".join(to_line(spec) + b"\n" for spec in specs))
        Journal(self.receipts_dir).dispatched(manifest, backlog, len(specs), "g")

    def write(self, *receipts: Receipt) -> None:
        with self.file.open("ab") as lines:
            lines.write(b"".join(msgspec.json.encode(receipt) + b"\n" for receipt in receipts))

    def states(self, **wanted: object) -> dict[str, str]:
        """Job's first letters → state, of those that fit."""
        assert self.index.refresh()
        return {row.job_id[:4]: row.state for row in self.rows(**wanted)}

    def rows(self, **wanted: object) -> list[JobRow]:
        filled = {
            name: value if isinstance(value, (tuple, float)) else (value,) for name, value in wanted.items()
        }
        found = self.index.find(JobFilter(**filled), 100)  # type: ignore[arg-type]
        assert found.count == len(found.keys)
        return list(self.index.rows(n for _, n in found.keys))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path)


def test_it_grows_with_the_record_and_tells_what_became_of_each(record: Record) -> None:
    assert record.states() == {}
    record.dispatch(*(a_spec(n) for n in range(4)), a_spec(4, task="vision.analyse", needs=Needs(vram_mib=9)))
    assert record.states() == dict.fromkeys(["0000", "0001", "0002", "0003", "0004"], "waiting")

    outputs = (OutputFact(path="published:o/1.mp4", bytes=1, sha256=SHA),)
    record.write(
        a_receipt(0, outputs=outputs, usage=Usage(vram_mib=77, rss_mib=5)),
        a_receipt(1, outcome="failed", cause="timeout", message="no word for 60 s"),
        a_receipt(2, outcome="failed", cause="bad_input", message="no film", is_lasting=True),
        a_receipt(3, outcome="failed", cause="timeout", message="no word for 60 s"),
    )
    record.write(a_receipt(3, attempt=2, ended_at=NOW + 900.0))
    assert record.states() == {
        "0000": "done", "0001": "dead", "0002": "dead", "0003": "done", "0004": "waiting",
    }  # fmt: skip

    row = record.index.job(an_id(0))
    assert row is not None
    assert (row.subject, row.backlog, row.manifest) == ("media.cut · clip 0000.mp4", "night", "a.jsonl")
    assert (row.used_vram_mib, row.used_ram_mib, row.seconds, row.proof) == (77, 5, 7.0, "proved")
    assert (row.node, row.device, row.at) == ("studio1", "gpu0", NOW + 7)
    last = record.index.job(an_id(4))
    assert last is not None
    assert (last.asked_vram_mib, last.attempts, last.proof) == (9, 0, "unproved")
    tried = record.index.attempts(an_id(3))
    assert [(each.attempt, each.outcome, each.cause, each.message) for each in tried] == [
        (1, "failed", "timeout", "no word for 60 s"),
        (2, "ok", "", ""),
    ]
    assert record.index.counts() == {"done": 2, "dead": 2, "waiting": 1}


def test_filters_choose_by_name_time_file_and_words(record: Record) -> None:
    record.dispatch(*(a_spec(n) for n in range(3)), a_spec(3, task="vision.analyse"))
    record.dispatch(a_spec(5), name="b.jsonl", backlog="other")
    record.write(
        a_receipt(0),
        a_receipt(1, outcome="failed", cause="timeout", message="No Word für 60 s", is_lasting=True),
        a_receipt(2, node="studio2"),
    )
    record.index.refresh()

    def found(**wanted: object) -> list[str]:
        return sorted(row.job_id[:4] for row in record.rows(**wanted))

    assert found(states="dead") == ["0001"]
    assert found(states=("done", "dead")) == ["0000", "0001", "0002"]
    assert found(causes="timeout") == ["0001"]
    assert found(tasks="vision.*") == ["0003"]
    assert found(tasks="media.cut", nodes="studio2") == ["0002"]
    assert found(backlogs="other") == ["0005"]
    assert found(files="CLIP 0002") == ["0002"]
    assert found(files="p") == ["0000", "0001", "0002", "0003", "0005"], "shorter than a trigram"
    assert found(texts="WORD FÜR") == ["0001"]
    assert found(texts=an_id(3)[:6]) == ["0003"]
    assert found(texts=("clip", "word")) == ["0001"]
    assert found(ids=("0002", "0003")) == ["0002", "0003"]
    assert found(ids="0002", states="dead") == []
    assert found(since=NOW + 100.0, states=("done", "dead")) == ["0001", "0002"]
    assert found(until=NOW + 100.0, states=("done", "dead")) == ["0000"]
    assert found(files='"; DROP TABLE job; --') == []
    assert found(tasks="media.c?t") == [], "only a star at the end is one"


def test_a_page_follows_the_other_and_none_is_named_twice(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BATCH", 7)
    record.dispatch(*(a_spec(n) for n in range(50)))
    record.write(*(a_receipt(n, outcome="ok" if n % 2 else "failed", cause=None if n % 2 else "timeout",
                             message="" if n % 2 else f"no {n}") for n in range(30)))  # fmt: skip
    record.index.refresh()
    for wanted in (JobFilter(), JobFilter(files=("clip",)), JobFilter(states=("waiting",), texts=("mp",))):
        for read in (query.MOST_READ, 3):
            monkeypatch.setattr(query, "MOST_READ", read)
            monkeypatch.setattr(query, "MOST_FOUND", 0 if read == 3 else 20_000)
            seen: list[int] = []
            cursor = None
            while True:
                found = record.index.find(wanted, 8, cursor)
                seen += [n for _, n in found.keys]
                cursor = found.cursor
                if cursor is None:
                    break
            assert len(seen) == len(set(seen)) == (20 if wanted.states else 50)
            assert len(list(record.index.ids(wanted))) == len(seen)


def test_a_last_line_that_is_under_way_is_read_when_it_is_whole(record: Record) -> None:
    record.dispatch(a_spec(0), a_spec(1))
    line = msgspec.json.encode(a_receipt(0)) + b"\n"
    record.file.write_bytes(line[:40])
    assert record.states()["0000"] == "waiting"
    with record.file.open("ab") as lines:
        lines.write(line[40:] + b"{cut by a crash\n")
    record.write(a_receipt(1))
    assert record.states() == {"0000": "done", "0001": "done"}


def test_what_is_deleted_cut_or_rewritten_is_read_anew(record: Record) -> None:
    record.dispatch(*(a_spec(n) for n in range(3)))
    record.write(*(a_receipt(n) for n in range(3)))
    assert set(record.states().values()) == {"done"}
    whole = record.file.read_bytes()

    record.file.write_bytes(whole[: whole.index(b"\n") + 1])
    assert record.states() == {"0000": "done", "0001": "waiting", "0002": "waiting"}, "cut"

    other = whole.replace(b'"attempt":1', b'"attempt":3').split(b"\n", 1)[1]
    record.file.unlink()
    record.file.write_bytes(other + other)
    assert record.states() == {"0000": "waiting", "0001": "done", "0002": "done"}, "another file of that name"

    record.file.unlink()
    assert set(record.states().values()) == {"waiting"}, "gone"

    record.file.write_bytes(whole)
    assert set(record.states().values()) == {"done"}
    inode = record.file.stat().st_ino
    again = record.receipts_dir / "again"
    again.write_bytes(whole + msgspec.json.encode(a_receipt(9)) + b"\n")
    again.replace(record.file)
    assert record.file.stat().st_ino != inode
    assert record.states()["0009"] == "done", "mended: the same lines and one more"


def test_what_was_taken_into_an_archive_is_read_there(record: Record) -> None:
    record.dispatch(*(a_spec(n) for n in range(3)))
    record.write(*(a_receipt(n) for n in range(3)))
    assert set(record.states().values()) == {"done"}
    first, rest = record.file.read_bytes().split(b"\n", 1)
    archive = record.receipts_dir / "archive" / "20260101T000000.w.jsonl.gz"
    archive.parent.mkdir()
    archive.write_bytes(gzip.compress(first + b"\n"))
    record.file.write_bytes(b'{"archived":[]}\n' + rest)
    for journal in record.receipts_dir.glob("*.journal"):
        packed = archive.with_name(f"20260101T000000.{journal.name}.gz")
        packed.write_bytes(gzip.compress(journal.read_bytes()))
        journal.write_bytes(b'{"archived":[]}\n')
    states = record.states()
    assert (len(states), set(states.values())) == (3, {"done"})
    archive.unlink()
    assert record.states()["0000"] == "waiting"


@pytest.mark.parametrize("harm", ["deleted", "broken", "older"])
def test_an_index_that_is_gone_or_of_no_use_is_made_again(record: Record, harm: str) -> None:
    record.dispatch(a_spec(0))
    record.write(a_receipt(0))
    assert record.states() == {"0000": "done"}
    if harm == "deleted":
        schema.remove(record.index.file)
    elif harm == "broken":
        schema.remove(record.index.file)
        record.index.file.write_bytes(os.urandom(8192))
    else:
        with closing(sqlite3.connect(record.index.file)) as conn, conn:
            conn.execute("PRAGMA user_version = 999")
            conn.execute("DROP TABLE job")
    with pytest.raises(ConfigError, match="index"):
        HistoryIndex(record.index.file.parent, record.receipts_dir).find(JobFilter(), 1)
    assert record.states() == {"0000": "done"}


def test_one_feeds_and_the_others_look(record: Record) -> None:
    record.dispatch(a_spec(0))
    assert record.states() == {"0000": "waiting"}
    record.write(a_receipt(0))
    with feeding.feeder_lock(record.index.file) as is_ours:
        assert is_ours
        assert not record.index.refresh()
        assert record.rows()[0].state == "waiting"
    assert record.states() == {"0000": "done"}


def test_the_word_of_the_ledger_is_laid_over_and_taken_back(record: Record) -> None:
    record.dispatch(*(a_spec(n) for n in range(4)))
    record.write(a_receipt(0), a_receipt(1, outcome="failed", cause="timeout", message="x"))
    assert record.states()["0001"] == "dead", "by the record alone"

    live = {an_id(2): LiveState("running"), an_id(3): LiveState("dead", "dependency_dead")}
    record.index.refresh({**live, an_id(7): LiveState("dead")})
    assert record.states() == {"0000": "done", "0001": "waiting", "0002": "running", "0003": "dead"}
    assert [row.cause for row in record.rows(states="dead")] == ["dependency_dead"]

    record.write(a_receipt(2))
    record.index.refresh({an_id(1): LiveState("dead")})
    assert record.states() == {"0000": "done", "0001": "dead", "0002": "done", "0003": "waiting"}
    assert {row.job_id[:4]: row.cause for row in record.rows()}["0003"] == ""


def test_a_receipt_that_is_taken_back_proves_nothing(record: Record) -> None:
    record.dispatch(a_spec(0))
    record.write(a_receipt(0, token="aaaaaaaa"), a_receipt(0, token="aaaaaaaa"))
    assert record.states() == {"0000": "done"}
    assert record.rows()[0].attempts == 1, "written twice over is once"
    record.write(a_receipt(0, token="aaaaaaaa", outcome="superseded"))
    assert record.states() == {"0000": "waiting"}
    assert record.rows()[0].proof == "refuted"
    record.write(a_receipt(0, attempt=2, token="bbbbbbbb"))
    assert record.states() == {"0000": "done"}


def test_the_operators_word_holds_without_redis(record: Record) -> None:
    record.dispatch(a_spec(0), a_spec(1), a_spec(2))
    record.write(a_receipt(1, outcome="failed", cause="timeout"))
    journal = Journal(record.receipts_dir)
    journal.operator("cancelled", {an_id(0): 0})
    journal.operator("retried", {an_id(1): 1})
    journal.operator("cancelled", {an_id(2): 0}, "bad_input")
    assert record.states() == {"0000": "cancelled", "0001": "waiting", "0002": "dead"}
    journal.operator("retried", {an_id(0): 0})
    assert record.states()["0000"] == "waiting"


def test_a_kept_manifest_is_read_and_the_named_one_where_it_is_gone(record: Record) -> None:
    record.dispatch(a_spec(0))
    for kept in (record.receipts_dir / "manifests").iterdir():
        assert gzip.decompress(kept.read_bytes())
        kept.unlink()
    assert record.states() == {"0000": "waiting"}


def test_without_trigrams_names_are_read_one_by_one(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SEARCH", "CREATE VIRTUAL TABLE x USING nothing_of_that_name();")
    record.dispatch(*(a_spec(n) for n in range(5)))
    record.write(a_receipt(1, outcome="failed", cause="timeout", message="no word"))
    assert record.states(files="0003") == {"0003": "waiting"}
    assert record.states(texts="no wor") == {"0001": "dead"}


def test_the_receipts_of_a_job_are_read_where_they_stand(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(a_receipt(0), a_receipt(1, outcome="failed", cause="timeout"), a_receipt(2))
    assert record.index.receipts_of(an_id(1)) == (a_receipt(1, outcome="failed", cause="timeout"),)
    record.states()

    def searched(folder: Path, job_id: str) -> None:
        raise AssertionError("all files were searched")

    monkeypatch.setattr(history, "receipts_of", searched)
    assert record.index.receipts_of(an_id(2)) == (a_receipt(2),)
    record.write(a_receipt(1, attempt=2))
    (record.receipts_dir / "other.jsonl").write_bytes(msgspec.json.encode(a_receipt(1, attempt=3)) + b"\n")
    assert [r.attempt for r in record.index.receipts_of(an_id(1))] == [1, 2, 3], "what came since too"
    assert record.index.receipts_of("nobody") == ()


def test_receipts_are_searched_for_where_the_index_is_of_other_files(record: Record) -> None:
    record.write(a_receipt(0), a_receipt(1))
    record.states()
    record.file.write_bytes(msgspec.json.encode(a_receipt(1)) + b"\n")
    assert record.index.receipts_of(an_id(1)) == (a_receipt(1),)
    assert record.index.receipts_of(an_id(0)) == ()
    record.file.unlink()
    assert record.index.receipts_of(an_id(1)) == ()
    record.write(a_receipt(0))
    record.index.file.write_bytes(b"nothing that SQLite made" * 100)
    assert record.index.receipts_of(an_id(0)) == (a_receipt(0),)


def test_what_jobs_come_to_is_kept_by_names_and_added_up_for_the_rest(record: Record) -> None:
    record.dispatch(*(a_spec(n) for n in range(1, 7)))
    record.write(
        a_receipt(1),
        a_receipt(2, devices=("gpu0", "gpu1")),
        a_receipt(3, devices=(), task="media.cut"),
        a_receipt(4, outcome="failed", cause="timeout"),
        a_receipt(4, attempt=2, outcome="failed", cause="cuda_oom", ended_at=NOW + 410),
    )
    index = record.index
    index.refresh()
    whole = index.sums(JobFilter(), "state")
    assert (whole.jobs, whole.seconds, whole.device_s) == (6, 7 * 3 + 10, 7 + 14 + 10)
    assert (whole.groups[0].name, whole.groups[0].jobs) == ("done", 3)
    (dead,) = index.sums(JobFilter(causes=("cuda_oom",)), "cause").groups
    assert (dead.name, dead.jobs, dead.seconds) == ("cuda_oom", 1, 10.0)
    looked_at = index.sums(JobFilter(since=NOW), "state")
    kept = {row.name: (row.jobs, row.seconds, row.device_s) for row in whole.groups}
    assert {row.name: (row.jobs, row.seconds, row.device_s) for row in looked_at.groups}["done"] == kept[
        "done"
    ]
    by_file = index.sums(JobFilter(states=("done",)), "file")
    assert [row.name for row in by_file.groups] == ["clip 0001.mp4", "clip 0002.mp4", "clip 0003.mp4"]
    assert index.sums(JobFilter(states=("cancelled",))).jobs == 0


def test_of_too_many_that_no_name_tells_apart_the_latest_are_added_up(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MOST_SUMMED", 3)
    record.dispatch(*(a_spec(n) for n in range(1, 7)))
    record.index.refresh()
    found = record.index.sums(JobFilter(), "file")
    assert (found.jobs, found.is_exact, len(found.groups)) == (3, False, 3)
