"""gap_fill from plan to verify: real workers, a real Valkey, a server on loopback that counts requests."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from openai_server import OpenAIServer

from conductor.app.workflow_lookup import checks_for, plan
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.dispatch.dispatch import dispatch
from conductor.dispatch.dispatch_report import Dispatched
from conductor.ports import Ledger
from conductor.verify.report import VerifyReport
from conductor.verify.verify import verify


class GapFillNight:
    """The steps of a run; only `conduct` is a process of its own."""

    def __init__(self, project: Settings, ledger: Ledger, corpus: Path) -> None:
        self.settings, self.ledger, self.corpus = load(project.project), ledger, corpus
        self.manifest = self.settings.manifests_dir / "gap_fill.jsonl"

    def plan(self, *options: str) -> int:
        both = ("--local", "mine", "--cloud", "sky", "--batch", "3")
        return plan("gap_fill", (str(self.corpus), *both, *options), self.settings.for_code)[1]

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

    def counts(self) -> tuple[int, int]:
        with closing(sqlite3.connect(self.corpus)) as db:
            return db.execute("SELECT count(*), count(DISTINCT document_id) FROM annotations").fetchone()


@contextmanager
def servers(project: Settings) -> Generator[tuple[OpenAIServer, OpenAIServer]]:
    with OpenAIServer() as local, OpenAIServer(fail_first=1) as cloud:
        with (project.project / CONFIG_NAME).open("a") as config:
            config.write("\n[lanes]\ncpu.workers = 1\nio.workers = 1\ncloud.workers = 1\n")
            config.write('\n[roots.corpus]\npath = "data"\nheadroom_bytes = 0\n')
            config.write(f'[endpoints.mine]\nbase_url = "{local.base_url}"\nmodel = "m"\n')
            config.write(f'[endpoints.sky]\nbase_url = "{cloud.base_url}"\nmodel = "m"\n')
        yield local, cloud


@pytest.mark.slow
def test_every_gap_is_filled_once_and_one_that_opens_again_is_found_and_closed(
    project: Settings, ledger: Ledger
) -> None:
    corpus = project.project / "data" / "corpus.sqlite"
    corpus.parent.mkdir()
    with closing(sqlite3.connect(corpus)) as db, db:
        db.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO documents VALUES (?, ?)", [(n, f"text {n}") for n in range(12)])

    with servers(project) as (local, cloud):
        night = GapFillNight(project, ledger, corpus)
        assert night.plan() == 8 and night.dispatch().new == 8
        night.conduct()
        report = night.verify()
        assert report.is_good and report.done == 8, report.to_text()
        assert (local.served, cloud.served, cloud.failed) == (2, 2, 1)
        assert night.counts() == (12, 12)

        with closing(sqlite3.connect(corpus)) as db, db:
            db.execute("DELETE FROM annotations WHERE document_id < 3")
        (gap,) = night.verify().findings
        assert gap.kind == "missing" and gap.message.startswith(
            "3 documents without an annotation, the first is '0'"
        )

        # The same answers are asked for again: they are there, so only what puts them into the corpus runs.
        assert night.plan("--round", "2", "--share", "0") == 2 and night.dispatch().new == 1
        night.conduct()
        assert night.verify().is_good and night.counts() == (12, 12)
        assert (local.served, cloud.served) == (2, 2)
        assert night.plan() == 0 and night.dispatch() == Dispatched(new=0, known=0)
