"""`conductor metrics`: the record as Prometheus text, and nothing that would break its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders import NOW, a_rate
from cli_tools import Cli
from msgspec.structs import replace

from conductor.model.alerts import Alert
from conductor.model.decision import GateLedger, Hold, Shared
from conductor.model.told_event import ToldEvent
from conductor.views.metrics import ExposedFigures, exposed
from conductor.views.status import Status

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene

LEDGER = GateLedger(
    at=NOW - 1,
    holds=(
        Hold(
            class_id="c1",
            backlog="films",
            task="media.cut",
            lane="gpu",
            waiting=7,
            verdicts=(),
            lost_s={"vram": 61.5},
        ),
    ),
    lost_s={"films": {"vram": 3600.25, "lane": 2.0}},
    shared=(
        Shared(
            where="node1/gpu0", gate="vram", unit="MiB", limit=24064, reserved=10240, others=512, free=13312
        ),
    ),
    rates=(a_rate("api", requests_left=3, requests_limit=30, closed_until=NOW + 12), a_rate("free")),
    reports={"node1": NOW - 2.5},
)


def shown(gates: GateLedger, **status: object) -> list[str]:
    figures = ExposedFigures()
    figures.see(Status(now=NOW, **status), gates, ())  # pyright: ignore[reportArgumentType]
    return exposed(figures).decode().splitlines()


def test_every_figure_of_the_record_is_a_sample() -> None:
    text = shown(LEDGER, backlogs={"films": {"waiting": 7, "done": 3}}, leader="me")

    for sample in (
        'conductor_jobs{backlog="films",state="waiting",task=""} 7.0',
        'conductor_held_seconds_total{backlog="films",gate="vram"} 3600.25',
        'conductor_gate_blocked_seconds_total{class="media.cut",gate="vram"} 61.5',
        'conductor_held_jobs{backlog="films",infeasible="false",task="media.cut"} 7.0',
        'conductor_shared_free{gate="vram",place="node1/gpu0",unit="MiB"} 13312.0',
        'conductor_vram_promised_bytes{device="gpu0",node="node1"} 1.073741824e+10',
        'conductor_rate_left{budget="requests",key="api"} 3.0',
        'conductor_rate_closed_seconds{key="api"} 12.0',
        'conductor_report_age_seconds{node="node1"} 2.5',
        "conductor_record_age_seconds 1.0",
        "conductor_has_leader 1.0",
    ):
        assert sample in text, (sample, "\n".join(text))
    heads = [line.split()[2] for line in text if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_a_name_cannot_forge_a_sample() -> None:
    evil = 'x"} 1\nconductor_jobs{backlog="y\x1b'
    text = shown(GateLedger(), backlogs={evil: {"waiting": 1}})

    assert sum(line.startswith("conductor_jobs") for line in text) == 1
    assert all(line.isprintable() for line in text)


def test_a_class_that_went_takes_nothing_off_a_counter() -> None:
    figures, status = ExposedFigures(), Status(now=NOW)
    figures.see(status, LEDGER, ())
    figures.see(status, GateLedger(), ())
    figures.see(status, replace(LEDGER, holds=(replace(LEDGER.holds[0], lost_s={"vram": 2.0}),)), ())
    assert b'conductor_gate_blocked_seconds_total{class="media.cut",gate="vram"} 63.5' in exposed(figures)


def test_alerts_that_are_raised_are_counted_by_rule_without_their_subjects() -> None:
    figures = ExposedFigures()
    raised = [
        Alert(rule="running-long", subject=f"job-{n}", words="x", runbook="r.md", since=1.0, last_at=2.0,
              raised_at=2.0 if n else None)
        for n in range(3)
    ]  # fmt: skip
    figures.see(Status(now=NOW), GateLedger(), (), raised)
    text = exposed(figures).decode()
    assert 'conductor_alerts{level="warning",rule="running-long"} 2.0' in text
    assert "job-1" not in text


#: What the users' dashboards go by, beside the rules and panels of docs/monitoring.
PROMISED = {
    *("conductor_jobs", "conductor_job_duration_seconds", "conductor_gate_blocked_seconds_total"),
    *("conductor_scratch_used_bytes", "conductor_vram_used_bytes", "conductor_vram_promised_bytes"),
    *("conductor_vram_free_bytes", "conductor_forecast_error_seconds", "conductor_receipts_total"),
    *("conductor_job_wait_seconds", "conductor_job_verify_seconds", "conductor_frames_per_second"),
    *("conductor_frames_total", "conductor_events_found_total", "conductor_engine_fallbacks_total"),
    *(
        "conductor_build_info",
        "conductor_alerts",
        "conductor_engine_answers",
        "conductor_engine_jobs",
        "conductor_pilots",
    ),
}


def test_every_metric_that_is_promised_is_there() -> None:
    heads = {line.split()[2] for line in shown(LEDGER) if line.startswith("# TYPE")}
    assert heads >= PROMISED


def test_what_ended_is_counted_by_task_and_cause() -> None:
    figures = ExposedFigures()
    figures.hear(
        [
            ToldEvent(
                name="job.done",
                at=1.0,
                fields={
                    "task": "media.cut",
                    "seconds": 20.0,
                    "waited": 70.0,
                    "checked": 0.5,
                    "frames": 500,
                    "found": 3,
                },
            ),
            ToldEvent(name="jobs.done", at=1.0, fields={"task": "quick", "jobs": 3, "seconds": 0.3}),
            ToldEvent(
                name="engine.fallback",
                at=1.0,
                fields={"task": "media.cut", "from_engine": "gpu", "to_engine": "cpu"},
            ),
            ToldEvent(name="job.failed", at=1.0, fields={"task": "media.cut", "cause": "timeout"}),
        ]
    )
    text = exposed(figures).decode()
    assert 'conductor_receipts_total{task="quick",verdict="ok"} 3.0' in text
    assert 'conductor_receipts_total{task="media.cut",verdict="timeout"} 1.0' in text
    assert 'conductor_job_duration_seconds_bucket{le="60.0",task="media.cut"} 1.0' in text
    assert 'conductor_job_wait_seconds_bucket{le="60.0",task="media.cut"} 0.0' in text
    assert 'conductor_job_wait_seconds_bucket{le="300.0",task="media.cut"} 1.0' in text
    assert 'conductor_job_verify_seconds_sum{task="media.cut"} 0.5' in text
    assert 'conductor_frames_total{task="media.cut"} 500.0' in text
    assert 'conductor_frames_per_second{task="media.cut"} 25.0' in text
    assert 'conductor_events_found_total{task="media.cut"} 3.0' in text
    assert 'conductor_engine_fallbacks_total{from="gpu",task="media.cut",to="cpu"} 1.0' in text


def test_the_command_prints_what_the_ledger_holds(cli: Cli, night: NightScene) -> None:
    night.finish(0)

    said = cli("metrics")

    assert said.code == 0
    assert 'conductor_jobs{backlog="night",state="done",task=""} 1.0\n' in said.out
    assert "conductor_has_leader 1.0\n" in said.out
