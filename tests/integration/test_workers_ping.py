"""`conductor workers` with real ones: who is there, what each has in hand, who answers and who does not."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psutil
import pytest
from cli_tools import Cli
from node_scene import NodeScene, configure, until

from conductor.base.settings.settings import Settings
from conductor.ports import Ledger


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(ledger, configure(project))
    yield it
    it.close()


def test_a_worker_answers_while_its_loop_turns_and_a_stopped_one_is_named(
    scene: NodeScene, project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    cli = Cli(project.project, capsys, monkeypatch)
    assert "no worker is there" in cli("workers").out
    node = scene.node()
    job = scene.sleep(1, 60.0)
    scene.until_state(job, "running")

    shown = cli("workers", "--ping")
    (row,) = cli("workers", "--ping", "--json").json["workers"]

    assert shown.code == 0 and shown.out.endswith("1 worker, 1 with a job; all answer\n"), shown.out
    assert (row["lane"], row["node"], row["job_id"]) == ("cpu", "here", job)
    assert row["about"].startswith("diagnostics.sleep") and row["answer_s"] < 5.0
    (worker,) = node.workers()
    assert row["pid"] == worker.pid
    worker.send_signal(signal.SIGSTOP)
    until(lambda: worker.status() == psutil.STATUS_STOPPED)
    try:
        silent = cli("workers", "--ping", "--within", "0.3")
        assert silent.code == 1
        assert f"no answer from {row['worker']}" in silent.out and "NO ANSWER" in silent.out
        assert cli("workers").code == 0, "who is not asked owes no answer"
    finally:
        worker.send_signal(signal.SIGCONT)
    assert cli("workers", "--ping").code == 0
