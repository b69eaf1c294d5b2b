"""`conductor needs --forget`: what failures taught is taken back, also for whoever learns from receipts
later.
"""

from __future__ import annotations

import time

import pytest
from builders import a_report, a_spec
from cli_tools import Cli
from learned_scene import DECL, a_receipt, of_size, out_of_vram
from rebuild_scene import RebuildScene

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.settings.settings import Settings
from conductor.model.limits import Limits
from conductor.model.receipt import AdmittedNeeds, Usage
from conductor.model.spec import JobSpec, Needs
from conductor.ports import Ledger
from conductor.tick.learned_needs import NeedsLearner, policy_of


@pytest.fixture
def place(project: Settings, ledger: Ledger, redis_url: str) -> RebuildScene:
    return RebuildScene(ledger, project.project, redis_url)


def ran_out(place: RebuildScene, spec: JobSpec) -> None:
    """Out of memory once, by its receipt; the ledger learns it from there."""
    place.receipt(
        spec,
        "failed",
        1,
        "cuda_oom",
        "CUDA out of memory",
        usage=Usage(vram_mib=19_000),
        ended_at=time.time() - 1,
        asked=AdmittedNeeds(needs=spec.needs or Needs()),
    )
    rebuilt(place)


def rebuilt(place: RebuildScene) -> None:
    place.flush()
    place.ledger.reports.publish(a_report("studio1", devices=1, sent_at=time.time()), 60)
    place.rebuild()


def asks(place: RebuildScene, spec: JobSpec) -> int:
    job = place.ledger.jobs.job(spec.id)
    assert job is not None
    return job.job_class.needs.vram_mib


@pytest.mark.parametrize("by", ["job", "task"])
def test_a_raised_need_is_forgotten_and_a_rebuild_does_not_learn_it_again(
    place: RebuildScene, cli: Cli, by: str
):
    spec, other = (a_spec(n, needs=Needs(vram_mib=20_000)) for n in range(2))
    place.dispatch(spec, other)
    ran_out(place, spec)
    assert (asks(place, spec), asks(place, other)) == (24_064, 20_000)

    said = cli("needs", "--forget", spec.id[:8] if by == "job" else spec.task)

    assert said.code == 0, said.err
    assert f"{spec.id}: asks 19.5 GiB of VRAM instead of 23.5 GiB" in said.out
    assert asks(place, spec) == 20_000
    rebuilt(place)
    assert asks(place, spec) == 20_000


def test_what_is_learned_of_a_task_is_learned_anew(place: RebuildScene, cli: Cli, project: Settings):
    log = FileReceiptLog(project.receipts_dir, "node1-gpu-1")
    for n in range(3):
        log.append(out_of_vram(n, vram=20_000, ended_at=time.time() - 1))
    with NeedsLearner(project.layout, policy_of(project.learning), {"media.cut": DECL}, Limits()) as lessons:
        lessons.read()
        assert lessons.learned.need(of_size(), "vram_mib").uses > 4096

        assert cli("needs", "--forget", "media.cut").code == 0

        lessons.read()
        assert lessons.learned.need(of_size(), "vram_mib").uses == 4096
        log.append(a_receipt(9, vram=6000, started_at=time.time(), ended_at=time.time() + 5))
        lessons.read()
        assert lessons.learned.need(of_size(), "vram_mib").uses > 4096, "what comes after it counts"


def test_one_in_flight_says_so_and_what_nobody_knows_is_a_mistake(place: RebuildScene, cli: Cli):
    spec = a_spec(1, needs=Needs(vram_mib=20_000))
    place.dispatch(spec)
    assert "no failure had raised its needs" in cli("needs", "--forget", spec.id).out
    assert cli("needs", "--forget", "nobody").code == 2
