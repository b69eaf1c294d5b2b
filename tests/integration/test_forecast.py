"""The forecast of a run: read from a real ledger, worked out by a process of its own, held against the
real end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import a_class, a_report, a_reservation, a_snapshot, a_spec
from cli_tools import conductor
from msgspec.structs import replace

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.adapters.open_ledger import connect
from conductor.adapters.redis.scans.pending import read_pending
from conductor.adapters.redis.scripts import Scripts
from conductor.analysis.forecast.between_jobs import gap_s
from conductor.analysis.forecast.forecast_thread import Forecasting
from conductor.analysis.forecast.predict import Predictor
from conductor.analysis.forecast.text import end_of, told, when
from conductor.base.settings.settings import Settings
from conductor.model.decision import Decision
from conductor.model.forecast import Forecast
from conductor.model.ledger_entries import Entry
from conductor.model.receipt import AdmittedNeeds, Receipt, Usage
from conductor.model.snapshot import JobClass
from conductor.model.spec import to_line
from conductor.ports import Ledger
from conductor.record.journal import Journal

NAP = a_class("cpu", task="diagnostics.sleep", kind="diagnostics.sleep", id="class-nap")


def put(ledger: Ledger, count: int, job_class: JobClass = NAP, first: int = 0, **spec: Any) -> list[str]:
    made = [a_spec(n, task=job_class.task, **spec) for n in range(first, first + count)]
    ledger.intake.put(
        job_class.backlog,
        [Entry(job_id=s.id, line=to_line(s), job_class=job_class, after=s.after) for s in made],
    )
    return [s.id for s in made]


def a_receipt(n: int, started_at: float, seconds: float, worker: str = "w1") -> Receipt:
    return Receipt(
        v=1,
        job_id=a_spec(n + 1000).id,
        attempt=1,
        workflow="w",
        task="diagnostics.sleep",
        outcome="ok",
        started_at=started_at,
        ended_at=started_at + seconds,
        node="node1",
        worker=worker,
        asked=AdmittedNeeds(),
    )


def learn(settings: Settings, seconds: float, gap: float = 0.2) -> None:
    log = FileReceiptLog(settings.receipts_dir, "node1-w1")
    at = time.time() - 3600
    for n in range(12):
        log.append(a_receipt(n, at, seconds))
        at += seconds + gap
    log.close()


def wait_for(is_so: Callable[[], bool], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


# ── what is left, as the ledger has it ────────────────────────────────────────────────────────────────────


def test_all_that_has_not_ended_is_read_in_order_of_arrival(ledger: Ledger, redis_url: str) -> None:
    ids = put(ledger, 3)
    waits = put(ledger, 1, first=10, after=(ids[0],))
    other = put(ledger, 2, replace(NAP, backlog="other", id="class-other"), first=20)
    assert ledger.commands.cancel(ids[1]) == "waiting"

    with connect(redis_url) as client:
        mine = read_pending(Scripts(client), ("b",)) or []
        everything = read_pending(Scripts(client)) or []
        too_many = read_pending(Scripts(client), (), 3)

    assert [row.job_id for row in mine] == [ids[0], ids[2], *waits]
    assert [row.job_id for row in everything] == [ids[0], ids[2], *waits, *other]
    assert too_many is None
    first = mine[0]
    assert (first.state, first.attempts, first.job_class) == ("waiting", 0, NAP)
    assert abs(first.since - ledger.bell.now()) < 10
    assert json.loads(first.line)["id"] == ids[0]


def test_the_end_goes_by_what_receipts_taught_and_by_the_loss_between_two_jobs(
    ledger: Ledger, redis_url: str, project: Settings
) -> None:
    ledger.reports.publish(a_report(devices=0, workers=2), ttl_s=60)
    put(ledger, 8)
    with connect(redis_url) as client:
        nobody = Predictor(project, client, ("b",)).answer()
        learn(project, seconds=30.0, gap=0.5)
        predictor = Predictor(project, client, ("b",))
        found = predictor.answer()

    assert nobody.prediction is not None and found.prediction is not None
    assert nobody.prediction.because == "nothing is known yet of how long diagnostics.sleep takes"
    assert (found.known, found.prediction.left) == (8, 8)
    assert found.prediction.ends_at is not None
    assert found.prediction.ends_at - found.prediction.made_at == pytest.approx(4 * 30.5, abs=0.5)


def test_what_running_jobs_hold_beyond_their_word_is_foretold_of_the_rest(
    ledger: Ledger, redis_url: str, project: Settings
) -> None:
    running = a_reservation(vram_mib=500, kind="media.cut", worker="w0", usage=Usage(vram_mib=5000))
    with connect(redis_url) as client:
        known = Predictor(project, client, ("b",)).known(a_snapshot(reservations=(running,)))

    assert known.teach(a_class(vram_mib=500, kind="media.cut")).needs.vram_mib == 5056
    assert known.teach(a_class(vram_mib=500, kind="another")).needs.vram_mib == 500


def test_only_gaps_in_which_a_worker_had_something_to_do_count(project: Settings) -> None:
    assert gap_s(project.receipts_dir) == 0.05
    learn(project, seconds=2.0, gap=0.3)
    log = FileReceiptLog(project.receipts_dir, "node1-w1")
    log.append(a_receipt(99, time.time(), 1.0))
    log.close()

    assert gap_s(project.receipts_dir) == pytest.approx(0.3, abs=1e-6)


def test_looking_ahead_changes_nothing_in_the_ledger(
    ledger: Ledger, redis_url: str, project: Settings
) -> None:
    ledger.reports.publish(a_report(devices=0, workers=2), ttl_s=600)
    put(ledger, 8)
    learn(project, seconds=3.0)
    with connect(redis_url) as client:
        predictor = Predictor(project, client, ())
        predictor.answer()
        before = {key: client.dump(key) for key in client.keys("*")}  # pyright: ignore
        predictor.answer()
        after = {key: client.dump(key) for key in client.keys("*")}  # pyright: ignore

    assert before == after


# ── beside a run ──────────────────────────────────────────────────────────────────────────────────────────


def a_tick(ledger: Ledger) -> tuple[Any, Decision]:
    now = ledger.bell.now()
    return a_snapshot(now=now, reservations=()), Decision(now=now, hold=())


def begun(project: Settings, ledger: Ledger) -> Forecasting:
    """One that has seen a tick with something to do."""
    from builders import a_reservation

    note = Journal(project.receipts_dir).foretold
    Journal(project.receipts_dir).place("resumed", "gpu")  # a journal is there once anything was said
    forecasting = Forecasting(project.project, ledger, "b", note)
    snapshot, decision = a_tick(ledger)
    forecasting.tick(replace(snapshot, reservations=(a_reservation(),)), decision)
    return forecasting


def test_a_run_is_foretold_by_a_process_of_its_own_and_the_ledger_keeps_it(
    ledger: Ledger, project: Settings
) -> None:
    ledger.reports.publish(a_report(devices=0, workers=2), ttl_s=60)
    put(ledger, 8)
    learn(project, seconds=30.0)

    with begun(project, ledger) as forecasting:
        wait_for(lambda: bool(ledger.forecasts.forecasts()))
        child = forecasting._child  # pyright: ignore[reportPrivateUsage]
        (kept,) = ledger.forecasts.forecasts()
        ended = forecasting.ended()
    assert ended is not None and child is not None

    assert kept.ended_at is None
    assert (kept.first_left, kept.first_known, kept.backlog) == (8, 8, "b")
    assert kept.predicted_s == pytest.approx(4 * 30.2, abs=10)
    (noted,) = [note for note in Journal(project.receipts_dir).notes() if note.what == "foretold"]
    assert (noted.backlog, noted.jobs) == ("b", 8)
    assert noted.instant == pytest.approx(kept.first_ends_at, abs=1)
    assert ledger.forecasts.forecasts() == (ended,)
    assert ended.took_s == pytest.approx(0, abs=30)
    wait_for(lambda: child.poll() is not None)


def test_a_conductor_started_again_goes_on_with_what_was_said_at_the_start(
    ledger: Ledger, project: Settings
) -> None:
    ledger.reports.publish(a_report(devices=0, workers=2), ttl_s=60)
    put(ledger, 8)
    learn(project, seconds=30.0)
    now = ledger.bell.now()
    said = Forecast(
        backlog="b",
        begun_at=now - 100,
        first_made_at=now - 99,
        first_ends_at=now + 20,
        first_left=40,
        first_known=8,
        made_at=now - 30,
        ends_at=now + 20,
    )
    ledger.forecasts.expect(said)

    with begun(project, ledger) as forecasting:
        wait_for(lambda: forecasting.latest is not None)
        latest = forecasting.latest

    assert latest is not None
    assert (latest.begun_at, latest.first_ends_at, latest.first_left) == (now - 100, now + 20, 40)
    assert latest.ends_at is not None and latest.ends_at > now + 60


def test_a_run_that_is_over_at_once_starts_no_process(ledger: Ledger, project: Settings) -> None:
    with begun(project, ledger) as forecasting:
        assert forecasting.ended() is None
    assert forecasting._child is None  # pyright: ignore[reportPrivateUsage]


def test_a_forecast_in_words() -> None:
    made = Forecast(
        begun_at=0, first_made_at=1, first_ends_at=100, first_left=1, first_known=5, made_at=1, ends_at=100
    )

    assert when(made, 40.0).endswith("(in 1 min 00 s)")
    assert when(replace(made, ends_at=100_000.0, is_rough=True), 0.0).endswith("(roughly in 27 h 46 min)")
    assert told(made) == "predicted 1 min 40 s at the start"
    assert (
        told(replace(made, ended_at=103.0))
        == "predicted 1 min 40 s at the start, took 1 min 43 s (3 % longer)"
    )
    assert told(replace(made, ended_at=100.2)).endswith("(as predicted)")
    assert told(replace(made, ended_at=9.0, first_ends_at=None)) == "no end was foretold, took 9.0 s"
    assert told(replace(made, ended_at=80.0), 7).endswith("(20 % shorter; 2 jobs more dispatched meanwhile)")


def test_one_rule_says_when_all_is_done_and_when_nobody_can_say() -> None:
    made = Forecast(
        begun_at=0, first_made_at=1, first_ends_at=100, first_left=1, first_known=5, made_at=1, ends_at=100
    )

    def words(forecast: Forecast | None, now: float = 10.0, left: int = 3, has_leader: bool = True) -> str:
        return end_of(forecast, left, has_leader, now).words

    assert end_of(made, 3, True, 10.0).at == 100
    assert words(made) == f"done {when(made, 10.0)}"
    assert words(replace(made, backlog="night")).startswith("backlog:night done about ")
    assert words(made, left=0) == "nothing left"
    assert words(made, has_leader=False) == "nobody can say when it is done: no conductor is running"
    assert words(None) == words(replace(made, ended_at=9.0)) == "nobody can say yet when it is done"
    paused = replace(made, ends_at=None, because="the cpu lane is paused")
    assert words(paused) == "nobody can say when it is done: the cpu lane is paused"
    unknown = "nothing is known yet of how long x takes"
    partly = replace(made, ends_at=None, not_before=10 + 7200, because=unknown)
    assert words(partly).startswith("it is not done before about ")
    assert words(partly).endswith(f"(in 2 h 00 min): {unknown}")
    late = "nobody can say when it is done: it takes longer than was foretold"
    assert words(made, now=100.5) == words(replace(made, ends_at=150), now=140.0) == late


# ── the whole of it, as a user runs it ────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_second_run_is_foretold_from_the_first_and_every_tick_can_be_decided_again(tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text(
        "[lanes.cpu]\nworkers = 1\n[lanes.io]\nworkers = 0\n[lanes.cloud]\nworkers = 0\n"
        "[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n"
        "[web]\nis_on = false\n[dashboard]\nis_on = false\n"
    )
    for run in (1, 2):
        manifest = tmp_path / f"run{run}.jsonl"
        lines = [
            a_spec(task="diagnostics.sleep", args={"seconds": 0.8, "n": 100 * run + n})
            # Time for a forecast on a busy machine: it is made behind all other work.
            for n in range(16 if run == 2 else 3)
        ]
        manifest.write_bytes(b"".join(to_line(line) + b"\n" for line in lines))
        assert conductor("dispatch", str(manifest), "--target", "backlog:naps", cwd=tmp_path).code == 0
        ran = conductor("conduct", "--until-done", "--json", cwd=tmp_path)
        assert ran.code == 0, ran.err
    account = ran.json

    assert account["predicted_s"] is not None, ran.err
    assert account["took_s"] > 16 * 0.8
    assert "at the start, took" in account["forecast"]
    assert account["forecast"] in conductor("status", cwd=tmp_path).out
    status = conductor("status", "--json", cwd=tmp_path).json["forecast"]
    assert status["ended_at"] - status["begun_at"] == pytest.approx(account["took_s"], abs=0.1)
    again = conductor("replay", "--json", cwd=tmp_path)
    assert (again.code, again.json["difference"]) == (0, None)
    assert again.json["ticks"] > 16
    job = msgspec.json.decode(manifest.read_bytes().splitlines()[-1])["id"]
    story = conductor("replay", "--job", job, "--json", cwd=tmp_path).json["moments"]
    assert "running" in [moment["state"] for moment in story]
    assert "lane" in [verdict["gate"] for moment in story for verdict in moment["because"]]


def test_the_last_receipts_count_when_a_host_has_become_slower(
    ledger: Ledger, redis_url: str, project: Settings
) -> None:
    ledger.reports.publish(a_report(devices=0, workers=2), ttl_s=60)
    put(ledger, 8)
    log = FileReceiptLog(project.receipts_dir, "node1-w1")
    for n in range(50):
        log.append(a_receipt(n, time.time() - 10_000 + 100 * n, 10.0 if n < 30 else 20.0))
    log.close()
    with connect(redis_url) as client:
        found = Predictor(project, client, ("b",)).answer().prediction

    assert found is not None and found.ends_at is not None
    assert found.ends_at - found.made_at == pytest.approx(4 * 20.05, abs=0.5)
