"""corpus.apply: all of a batch or none of it, once however often it runs."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, PublishFailed
from workers.tasks.corpus_apply import run

READ = "scratch:gap_fill/x/annotations.jsonl"
CORPUS = "published:c.sqlite"
ARGS = {"corpus": CORPUS}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def corpus(bench: Bench, kind: str = "INTEGER PRIMARY KEY", ids: tuple[Any, ...] = (1, 2, 3)) -> Path:
    file = bench.settings.roots["published"].path / "c.sqlite"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"CREATE TABLE documents (id {kind}, text TEXT)")
        db.executemany("INSERT INTO documents VALUES (?, 'text')", [(i,) for i in ids])
    return file


def answers(bench: Bench, *lines: Any) -> None:
    file = bench.settings.roots["scratch"].path / "gap_fill/x/annotations.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


def rows(file: Path) -> list[tuple[Any, str]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT document_id, annotation FROM annotations ORDER BY document_id").fetchall()


@pytest.mark.parametrize(
    ("kind", "ids"),
    [("INTEGER PRIMARY KEY", (1, 2)), ("TEXT PRIMARY KEY", ("1", "2")), ("", (1, 2)), ("", ("1", "2"))],
)
def test_annotations_are_added_under_the_documents_own_ids_and_twice_is_once(
    bench: Bench, kind: str, ids: tuple[Any, ...]
) -> None:
    file = corpus(bench, kind, ids)
    answers(bench, {"id": "1", "annotation": {"label": "ü"}}, {"id": "2", "annotation": "b"})

    first = bench.run(run, ARGS, reads=[READ], updates=[CORPUS])
    second = bench.run(run, ARGS, reads=[READ], updates=[CORPUS])

    assert first == {"added": 2, "present": 0} and second == {"added": 0, "present": 2}
    assert rows(file) == [(ids[0], '{"label": "ü"}'), (ids[1], '"b"')]


def test_what_was_annotated_before_stays_as_it_is(bench: Bench) -> None:
    file = corpus(bench)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE annotations (document_id INTEGER, annotation TEXT)")
        db.execute("INSERT INTO annotations VALUES (1, 'by hand')")
    answers(bench, {"id": "1", "annotation": 1}, {"id": "2", "annotation": 2})

    assert bench.run(run, ARGS, reads=[READ], updates=[CORPUS]) == {"added": 1, "present": 1}
    assert rows(file) == [(1, "by hand"), (2, "2")]


def test_a_batch_that_cannot_be_applied_whole_is_not_applied_at_all(bench: Bench) -> None:
    file = corpus(bench)
    answers(bench, {"id": "1", "annotation": 1}, {"id": "99", "annotation": 2})
    with pytest.raises(BadInput, match=r"the corpus c.sqlite has no document '99'"):
        bench.run(run, ARGS, reads=[READ], updates=[CORPUS])
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'annotations'").fetchone() is None


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 1}', "3"])
def test_a_line_that_is_no_annotation_is_bad_input(bench: Bench, line: str) -> None:
    corpus(bench)
    answers(bench, line)
    with pytest.raises(BadInput, match=r"line 1 of annotations\.jsonl is not an annotation"):
        bench.run(run, ARGS, reads=[READ], updates=[CORPUS])


def test_a_corpus_that_is_none_or_lies_outside_a_root_is_bad_input(bench: Bench) -> None:
    answers(bench, {"id": "1", "annotation": 1})
    for where, why in [
        ("published:none.sqlite", "is not there"),
        ("published:../c.sqlite", "not allowed"),
        (READ, "is not a corpus"),
        ("/etc/passwd", "absolute paths are for reading only"),
    ]:
        with pytest.raises(BadInput, match=why):
            bench.run(run, {"corpus": where}, reads=[READ], updates=[where])


def test_a_corpus_that_cannot_be_written_to_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    file = corpus(bench)
    answers(bench, {"id": "1", "annotation": 1})
    real = sqlite3.connect
    # Root may write anywhere, so the mode of the file would prove nothing here.
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **options: real(f"file:{file}?mode=ro", **options))
    with pytest.raises(PublishFailed, match=r"the corpus c.sqlite cannot be written to"):
        bench.run(run, ARGS, reads=[READ], updates=[CORPUS])


def test_many_batches_at_once_wait_for_each_other(bench: Bench) -> None:
    file = corpus(bench, ids=tuple(range(40)))
    answers(bench, *({"id": str(n), "annotation": n} for n in range(40)))
    context = bench.context(reads=[READ], updates=[CORPUS])
    added: list[int] = []

    def once() -> None:
        added.append(run(ARGS, context)["added"])

    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(added) == [0, 0, 0, 40] and len(rows(file)) == 40


def test_a_corpus_that_the_line_does_not_declare_is_left_alone(bench: Bench) -> None:
    file = corpus(bench)
    before = file.read_bytes()
    answers(bench, {"id": "1", "annotation": 1})
    for args, declared in (
        (ARGS, {}),
        (ARGS, {"updates": ["published:other.sqlite"]}),
        (ARGS, {"writes": [CORPUS]}),
        ({}, {}),
    ):
        with pytest.raises(BadInput, match="not among the job's updates"):
            bench.run(run, args, reads=[READ], **declared)
    assert file.read_bytes() == before
    assert bench.run(run, {}, reads=[READ], updates=[CORPUS]) == {"added": 1, "present": 0}
