"""gap_fill from plan to verify: real workers, a real Valkey, a server on loopback that counts requests."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from postgres_server import PASSWORD, PostgresServer

from conductor.app.workflow_lookup import checks_for, plan
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.dispatch.dispatch_report import Dispatched
from conductor.ports import Ledger
from conductor.verify.report import VerifyReport
from conductor.verify.verify import verify


class GapFillNight:
    """The steps of a run on one corpus; only `conduct` is a process of its own, and does all that waits."""

    def __init__(self, project: Settings, ledger: Ledger, corpus: str) -> None:
        self.settings, self.ledger, self.corpus = load(project.project), ledger, corpus
        self.manifest = self.settings.manifests_dir / f"{'store' if ':' in corpus else 'file'}.jsonl"

    def plan(self, *options: str) -> int:
        both = ("--local", "mine", "--cloud", "sky", "--batch", "3", "-o", str(self.manifest))
        return plan("gap_fill", (self.corpus, *both, *options), self.settings.for_code)[1]

    def dispatch(self) -> Dispatched:
        return dispatch(self.ledger, self.manifest, "gap_fill", load_catalogue(), self.settings.receipts_dir)

    def conduct(self) -> None:
        env = {**os.environ, "CONDUCTOR_PROJECT": str(self.settings.project)}
        command = [sys.executable, "-m", "conductor", "conduct", "--until-done"]
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=90)
        assert run.returncode == 0, run.stdout + run.stderr

    def verify(self) -> VerifyReport:
        checks = checks_for(("gap_fill",), self.settings.for_code)
        return verify(self.manifest, self.settings.receipts_dir, self.settings.layout, checks)


@contextmanager
def servers(project: Settings, url: str) -> Generator[tuple[OpenAIServer, OpenAIServer]]:
    with OpenAIServer() as local, OpenAIServer(fail_first=1) as cloud:
        with (project.project / CONFIG_NAME).open("a") as config:
            config.write("\n[lanes]\ncpu.workers = 1\nio.workers = 1\ncloud.workers = 1\n")
            config.write('\n[roots.corpus]\npath = "data"\nheadroom_bytes = 0\n')
            config.write(f'[stores.main]\nurl = "{url}"\npassword_env = "MAIN_PASSWORD"\n')
            config.write(f'[endpoints.mine]\nbase_url = "{local.base_url}"\nmodel = "m"\n')
            config.write(f'[endpoints.sky]\nbase_url = "{cloud.base_url}"\nmodel = "m"\n')
        yield local, cloud


class TwoCorpora:
    """The same twelve documents in a SQLite file and in PostgreSQL."""

    def __init__(self, file: Path, postgres: PostgresServer) -> None:
        self.file, self.postgres, self.database = file, postgres, postgres.database()
        file.parent.mkdir()
        self.both("CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT)")
        rows = ", ".join(f"({n}, 'text {n}')" for n in range(12))
        self.both(f"INSERT INTO documents VALUES {rows}")

    def both(self, sql: str) -> list[list[tuple[Any, ...]]]:
        with closing(sqlite3.connect(self.file)) as db, db:
            mine = db.execute(sql).fetchall()
        with self.postgres.connect(self.database) as connection:
            found = connection.execute(sql.encode())
            return [mine, found.fetchall() if found.description else []]

    def counts(self) -> list[list[tuple[Any, ...]]]:
        return self.both("SELECT count(*), count(DISTINCT document_id) FROM annotations")


@pytest.mark.slow
def test_every_gap_is_filled_once_and_one_that_opens_again_is_found_and_closed(
    project: Settings, ledger: Ledger, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = TwoCorpora(project.project / "data" / "corpus.sqlite", postgres)
    monkeypatch.setenv("MAIN_PASSWORD", PASSWORD)

    with servers(project, postgres.url(corpora.database)) as (local, cloud):
        file, store = (GapFillNight(project, ledger, given) for given in (str(corpora.file), "store:main"))
        assert file.plan() == 8 and file.dispatch().new == 8
        # What is asked of a text is the same wherever the answer goes: it is asked once.
        assert store.plan() == 8 and store.dispatch() == Dispatched(new=4, known=4)
        file.conduct()
        for night in (file, store):
            report = night.verify()
            assert report.is_good and report.done == 8, report.to_text()
        assert (local.served, cloud.served, cloud.failed) == (2, 2, 1)
        assert corpora.counts() == [[(12, 12)]] * 2

        corpora.both("DELETE FROM annotations WHERE CAST(document_id AS TEXT) IN ('0', '1', '2')")
        for night in (file, store):
            (gap,) = night.verify().findings
            assert gap.kind == "missing" and gap.message.startswith(
                "3 documents without an annotation, the first is '0'"
            )

        # The same answers are asked for again: they are there, so only what puts them into the corpus runs.
        for night in (file, store):
            assert night.plan("--round", "2", "--share", "0") == 2 and night.dispatch().new == 1
        file.conduct()
        assert file.verify().is_good and store.verify().is_good and corpora.counts() == [[(12, 12)]] * 2
        assert (local.served, cloud.served) == (2, 2)
        for night in (file, store):
            assert night.plan() == 0 and night.dispatch() == Dispatched(new=0, known=0)
