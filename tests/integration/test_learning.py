"""What receipts teach changes what runs side by side: real node, real conductor, a stub driver."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_spec
from node_scene import CONFIG, NodeScene, configure, until
from nvml_stub import Nvml, device, nvml, nvml_library  # noqa: F401 - fixtures

from conductor.adapters.files.receipt_log import FileReceiptLog, read_receipts
from conductor.base.code_version import code_version
from conductor.base.settings.settings import Settings
from conductor.core.needs.evidence import ENOUGH
from conductor.model.receipt import AdmittedNeeds, Receipt, Usage
from conductor.model.spec import Needs
from conductor.ports import Ledger

FOUR_GIB = Needs(vram_mib=4096)
CODE = code_version("workers.tasks.diagnostics")


@pytest.fixture
def scene(ledger: Ledger, project: Settings) -> Iterator[NodeScene]:
    it = NodeScene(
        ledger, configure(project, CONFIG.replace("gpu.workers = 2", "gpu.workers = 8\ngpu.depth = 8"))
    )
    yield it
    it.close()


def taught(folder: Path, vram_mib: int, count: int) -> None:
    """Receipts of `diagnostics.sleep` as workers of an earlier night left them."""
    log = FileReceiptLog(folder, "earlier")
    for n in range(count):
        at = time.time() - 3600 + n
        log.append(
            Receipt(
                v=1,
                job_id=f"earlier-{n:08d}",
                attempt=1,
                workflow="w",
                task="diagnostics.sleep",
                outcome="ok",
                started_at=at - 5,
                ended_at=at,
                node="here",
                worker="w1",
                code_version=CODE,
                usage=Usage(vram_mib=vram_mib),
                asked=AdmittedNeeds(needs=FOUR_GIB),
            )
        )
    log.close()


def most_at_once(scene: NodeScene, jobs: list[str]) -> tuple[int, set[int]]:
    """Until all are done: the most that gpu0 held at one time, and what each had reserved."""
    most, reserved = 0, set[int]()

    def all_done() -> bool:
        nonlocal most
        held = scene.ledger.handover.reservations()
        reserved.update(r.vram_mib for r in held)
        most = max(most, Counter(d for r in held for d in r.devices)["gpu0"])
        return all(scene.job(job).state == "done" for job in jobs)

    until(all_done, 60.0, every_s=0.01)
    return most, reserved


@pytest.mark.parametrize(
    ("took_mib", "count", "side_by_side", "asked_mib"),
    [(1024, ENOUGH, 10, 1280), (9000, 1, 2, 11264)],
    ids=["less than declared: more at once", "more than declared: fewer at once"],
)
def test_what_jobs_took_decides_how_many_run_at_once(
    scene: NodeScene,
    nvml: Nvml,  # noqa: F811
    took_mib: int,
    count: int,
    side_by_side: int,
    asked_mib: int,
):
    """As declared it would be five."""
    taught(scene.settings.receipts_dir, took_mib, count)
    nvml.show(device(0))
    scene.node(nvml.env)
    conduct = scene.run("conduct", env=nvml.env)
    # The first tick may come before the receipts are read: those that count come when they are.
    scene.until_state(scene.put(99, 0.0, lane="cpu"), "done")
    nap = {"task": "diagnostics.sleep", "lane": "gpu", "needs": FOUR_GIB}
    specs = [a_spec(n, args={"seconds": 0.4, "n": n}, **nap) for n in range(10)]
    scene.put_together(*specs)
    jobs = [spec.id for spec in specs]

    assert most_at_once(scene, jobs) == (side_by_side, {asked_mib}), conduct.said
    needs = scene.run("needs", "diagnostics.sleep", "--json")
    needs.wait()
    shown = json.loads(needs.said)
    vram = [a for kind in shown["kinds"] for a in kind["amounts"] if a["what"] == "vram_mib"]
    assert [(a["declared"], a["uses"], len(a["receipts"]) >= count) for a in vram] == [
        (4096, asked_mib, True)
    ]
    tonight = [r for r in read_receipts(scene.settings.receipts_dir) if r.job_id in jobs]
    assert {r.asked.vram_mib for r in tonight if r.asked} == {asked_mib}
