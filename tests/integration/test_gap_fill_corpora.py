"""A corpus in SQLite, PostgreSQL or a folder of JSON lines: planned, applied twice, held against itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai_server import Babble, OpenAIServer
from postgres_server import PASSWORD, PostgresServer
from task_bench import Bench

from conductor.adapters.stores.open_store import open_store
from conductor.base.errors import BadInput, ConfigError, JobError, UsageError
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.model.spec import JobSpec
from workers.tasks import corpus_apply, llm_annotate
from workflows.gap_fill import plan as gap_fill
from workflows.gap_fill.corpus import corpus_of, gaps, twice

KINDS = ("sqlite", "postgresql", "folder")
#: A document that nobody could annotate, one that is done, and what strangers write.
TEXTS = {
    "1": "plain",
    "2": "",
    "3": "'; DROP TABLE documents; --",
    "4": "\N{SMILING FACE WITH SUNGLASSES} $1 %s",
    "5": "x" * 20_000,
}
OPEN = ["1", "3", "4", "5"]
READ = "scratch:gap_fill/x/annotations.jsonl"

CONFIG = """
[roots.data]
path = "data"
[stores.main]
url = "{url}"
{more}
"""


class CorpusBench:
    """A project with a corpus of one kind, and what its jobs do, one by one."""

    def __init__(self, folder: Path, kind: str, url: str, more: str) -> None:
        (folder / "data").mkdir()
        (folder / "conductor.toml").write_text(CONFIG.format(url=url, more=more))
        endpoints = {
            "sky": Endpoint(
                base_url="http://127.0.0.1:9/v1", usd_per_million_input=1, usd_per_million_output=1
            ),
            "mine": Endpoint(base_url="http://127.0.0.1:9/v1"),
        }
        self.bench = Bench(folder, endpoints=endpoints)
        self.code = self.bench.settings.for_code
        self.given = "data:docs" if kind == "folder" else "store:main"
        self.kind, self.folder = kind, folder / "data" / "docs"
        if kind == "folder":
            self.folder.mkdir()
            lines = [json.dumps({"id": int(n), "text": text}) for n, text in TEXTS.items()]
            (self.folder / "a.jsonl").write_text("\n".join([*lines, lines[0]]) + "\n")
            return
        with closing(open_store(self.code, "main")) as store, store.transaction() as change:
            change.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT)")
            rows = [(int(n), text) for n, text in TEXTS.items()]
            change.many("INSERT INTO documents (id, text) VALUES ($1, $2)", rows)

    def plan(self, *options: str) -> list[JobSpec]:
        import argparse

        parser = argparse.ArgumentParser()
        gap_fill.add_arguments(parser)
        return list(gap_fill.plan(parser.parse_args([self.given, "--cloud", "sky", *options]), self.code))

    def apply(self, job: JobSpec, *ids: str) -> dict[str, object]:
        file = self.bench.settings.roots["scratch"].path / "gap_fill/x/annotations.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps({"id": i, "annotation": {"ü": i}}) + "\n" for i in ids))
        args = {**job.args, "annotations": READ}
        return self.bench.run(corpus_apply.run, args, reads=[READ], updates=job.updates)

    def open(self) -> list[str]:
        return [identity for identity, _ in gaps(corpus_of(self.given, self.code), self.code)]

    def twice(self) -> list[str]:
        return twice(corpus_of(self.given, self.code), self.code)


@pytest.fixture(params=KINDS)
def corpus(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusBench:
    if request.param != "postgresql":
        return CorpusBench(tmp_path, request.param, "sqlite:data/main.db", "")
    server: PostgresServer = request.getfixturevalue("postgres")
    monkeypatch.setenv("MAIN_PASSWORD", PASSWORD)
    return CorpusBench(
        tmp_path, request.param, server.url(server.database()), 'password_env = "MAIN_PASSWORD"'
    )


def test_every_gap_is_planned_filled_once_and_seen(corpus: CorpusBench) -> None:
    assert corpus.open() == OPEN
    ask, put = corpus.plan("--tokens", "30000")
    assert [item["id"] for item in ask.args["items"]] == OPEN
    assert [item["text"] for item in ask.args["items"]] == [TEXTS[n] for n in OPEN]

    assert corpus.apply(put, "1", "3") == {"added": 2, "present": 0}
    assert corpus.apply(put, "1", "3", "4") == {"added": 1, "present": 2}
    assert corpus.open() == ["5"]
    assert corpus.apply(put, "5") == {"added": 1, "present": 0}

    assert (corpus.open(), corpus.twice(), corpus.plan()) == ([], [], [])


def test_a_document_that_is_none_takes_nothing_of_its_batch_along(corpus: CorpusBench) -> None:
    if corpus.kind == "folder":
        pytest.skip("a folder has no table of documents that would refuse one")
    (_, put, *_) = corpus.plan()
    with pytest.raises(BadInput, match="has no document '99'"):
        corpus.apply(put, "1", "99")
    with pytest.raises(BadInput, match=r"no document 'x; --'|invalid input syntax"):
        corpus.apply(put, "1", "x; --")
    assert corpus.open() == OPEN


def test_batches_are_cut_by_tokens_and_end_with_the_money(corpus: CorpusBench) -> None:
    batches = [
        [i["id"] for i in job.args["items"]] for job in corpus.plan("--tokens", "1000") if "items" in job.args
    ]
    assert batches == [["1", "3", "4"], ["5"]], "a text that is too large has a batch of its own"

    # The first batch costs some 450 tokens at a dollar a million, the second some 6,800.
    asks = [job for job in corpus.plan("--tokens", "1000", "--usd", "0.001") if "items" in job.args]
    assert [(len(job.args["items"]), job.lane) for job in asks] == [(3, "cloud")]
    both = corpus.plan(
        "--tokens", "1000", "--usd", "0.001", "--local", "mine", "--local-lane", "io", "--share", "1"
    )
    assert [job.lane for job in both if "items" in job.args] == ["cloud", "io"]
    with pytest.raises(UsageError, match="what mine costs is not known"):
        corpus.plan("--cloud", "mine", "--usd", "1")


# ── a folder of JSON lines ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path) -> CorpusBench:
    return CorpusBench(tmp_path, "folder", "sqlite:data/main.db", "")


def test_half_a_line_of_a_killed_writer_is_cut_off_and_written_anew(folder: CorpusBench) -> None:
    (_, put, *_) = folder.plan()
    folder.apply(put, "1")
    file = folder.folder / "annotated.jsonl"
    with file.open("a") as lines:
        lines.write('{"id": "3", "annota')
    assert folder.open() == ["3", "4", "5"]
    assert folder.apply(put, "1", "3") == {"added": 1, "present": 1}
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["1", "3"]


def test_what_is_annotated_twice_or_is_no_line_is_told(folder: CorpusBench) -> None:
    (_, put, *_) = folder.plan()
    folder.apply(put, "1")
    file = folder.folder / "annotated.jsonl"
    file.write_text(file.read_text() * 2)
    assert folder.twice() == ["1"]
    (folder.folder / "b.jsonl").write_text('{"id": 9}\n')
    with pytest.raises(ConfigError, match=r"line 1 of b.jsonl is not a document"):
        folder.open()


# ── the schema of an answer ───────────────────────────────────────────────────────────────────────────────

SCHEMA: dict[str, object] = {"type": "string", "pattern": "characters$"}


def ask(folder: Path, server: OpenAIServer, schema: Mapping[str, object] = SCHEMA) -> dict[str, Any]:
    bench = Bench(folder, endpoints={"sky": Endpoint(base_url=server.base_url, usd_per_million_output=2)})
    items = [{"id": f"row-{n}", "text": "x" * n} for n in range(1, 4)]
    given = {"endpoint": "sky", "items": items, "instruction": "Count.", "repairs": 1, "schema": schema}
    return bench.run(llm_annotate.process_batch, given, writes=["scratch:a.jsonl"])


@pytest.mark.parametrize("babble", ["prose", "half"])
def test_a_model_is_told_once_what_was_wrong_and_asked_for_that_alone(tmp_path: Path, babble: Babble) -> None:
    with OpenAIServer(babble_first=1, babble=babble) as server:
        result = ask(tmp_path, server)

    assert (result["items"], result["repaired"]) == (3, 1)
    first, second = (request["messages"] for request in server.requests)
    assert "could not be used" not in first[0]["content"] and "JSON schema" in first[0]["content"]
    said = "you left it out" if babble == "half" else "not of the form"
    assert said in second[0]["content"]
    assert len(json.loads(second[-1]["content"])) == (1 if babble == "half" else 3)
    assert result["usd"] == pytest.approx(result["tokens"]["completion"] * 2 / 1e6)


def test_a_model_that_does_not_learn_ends_the_attempt_with_its_fault(tmp_path: Path) -> None:
    words = r"sky answered 3 of 3 items otherwise than its schema asks, the first is 'row-1': .* not of type"
    for name, schema, error, said in (
        ("a", {"type": "integer"}, JobError, rf"{words}.*, also when it was told what was wrong"),
        ("b", {"type": "nothing"}, BadInput, r"args.schema is no JSON schema"),
        ("c", {"$ref": "http://127.0.0.1:9/schema"}, JobError, "the schema names what is not in it"),
    ):
        (tmp_path / name).mkdir()
        with OpenAIServer() as server, pytest.raises(error, match=said):
            ask(tmp_path / name, server, schema)
        assert len(server.requests) == (0 if error is BadInput else 2)
