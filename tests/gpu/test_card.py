"""A real card, filled: the honest never run out of memory, the liar is stopped, the card is busy and comes
back whole.

Skipped, with the reason, where there is no NVIDIA device or no CUDA driver. Prints its figures with the
card's name.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import a_spec
from node_scene import NodeScene, configure, scene_config, until

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.host import nvml_probe
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.ledger_entries import Entry
from conductor.model.receipt import Receipt
from conductor.model.report import Device
from conductor.model.spec import Needs, to_line
from conductor.ports import Ledger

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(300)]

#: Of a process of ours before it has allocated anything: CUDA's context and its modules, generously.
CONTEXT_MIB = 768
#: What may be left on the device when all is over.
REST_MIB = 64

CONFIG = scene_config(more="[workers]\nwarm_idle_s = 10.0\n", gpu_workers=4, gpu_depth=4)


@pytest.fixture(scope="module")
def card() -> Device:
    """The first device, where there is one that CUDA can use."""
    devices, notes = nvml_probe.parse(nvml_probe.read())
    usable = [device for device in devices if device.quarantined is None and device.vram_used_mib is not None]
    if not usable:
        pytest.skip(f"no NVIDIA device to fill: {'; '.join(notes) or 'its memory is not told'}")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        pytest.skip(f"no CUDA driver: {e}")
    return usable[0]


@dataclass
class Watch:
    """What the device says of itself, every 50 ms, from a thread."""

    index: int
    used_mib: list[int] = field(default_factory=list[int])
    busy_percent: list[int] = field(default_factory=list[int])
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        while not self._is_over.wait(0.05):
            self.used_mib.append(int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) >> 20)
            self.busy_percent.append(int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))


class CardScene(NodeScene):
    def __init__(self, ledger: Ledger, project: Settings, card: Device) -> None:
        source = Path(__file__).with_name("cuda_tasks.py")
        (project.project / "cuda_tasks_of_test.py").write_text(
            source.read_text(encoding="utf-8"), encoding="utf-8"
        )
        file = project.project / CONFIG_NAME
        file.write_text(f'task_modules = ["cuda_tasks_of_test"]\n{file.read_text()}')
        super().__init__(ledger, configure(project, CONFIG))
        self.catalogue = load_catalogue(self.settings.task_modules, self.settings.project)
        self.card = card
        # Only this card, if the host has several.
        self.env = {"CUDA_VISIBLE_DEVICES": card.uuid}

    def hold(self, n: int, says_mib: int, takes_mib: int, **args: Any) -> str:
        """A job in the backlog that reserves `says_mib` and allocates `takes_mib`."""
        spec = a_spec(
            n,
            task="card.hold",
            lane="gpu",
            needs=Needs(vram_mib=says_mib),
            args={"mib": takes_mib, "n": n, **args},
        )
        job_class = class_of(spec, self.catalogue[spec.task], "night")
        self.ledger.intake.put("night", [Entry(job_id=spec.id, line=to_line(spec), job_class=job_class)])
        self.ledger.bell.ring()
        return spec.id

    def receipts(self, jobs: Sequence[str]) -> list[Receipt]:
        return [receipt for receipt in read_receipts(self.settings.receipts_dir) if receipt.job_id in jobs]


@pytest.fixture
def scene(card: Device, ledger: Ledger, project: Settings) -> Iterator[CardScene]:
    it = CardScene(ledger, project, card)
    yield it
    it.close()


def used_mib(card: Device) -> int:
    device = next(d for d in nvml_probe.parse(nvml_probe.read())[0] if d.index == card.index)
    assert device.vram_used_mib is not None
    return device.vram_used_mib


def busy_share(ran: Sequence[Receipt]) -> float:
    """Of the time from the first body's begin to the last one's end: when at least one of them ran."""
    spans = sorted((r.result["began"], r.result["ended"]) for r in ran)
    covered, until_s = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, until_s))
        until_s = max(until_s, end)
    return covered / (until_s - spans[0][0])


Say = Callable[..., None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Say:
    """Figures are for who runs it, also where all is green; `benchmarks/results.py card` finds them in the
    report.
    """

    def to_all(*lines: str) -> None:
        record_property("figures", "\n".join(lines))
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(lines) + "\n")

    return to_all


def test_a_card_is_filled_by_jobs_that_take_what_they_say_and_less_without_one_running_out(
    scene: CardScene, card: Device, say: Say
):
    before, total = used_mib(card), card.vram_total_mib
    shares = [0.1, 0.15, 0.2, 0.3, 0.45]
    jobs: list[str] = []
    for n in range(40):
        says = round(total * shares[n % len(shares)])
        takes = says - CONTEXT_MIB if n % 2 else (says - CONTEXT_MIB) // 2
        jobs.append(scene.hold(n, says, takes, seconds=1.0 + 0.05 * n))
    scene.node(scene.env)
    with Watch(card.index) as watch:
        began = time.monotonic()
        scene.run("conduct")
        for job in jobs:
            scene.until_state(job, "done", limit_s=200.0)
        took_s = time.monotonic() - began
    ran = scene.receipts(jobs)
    until(lambda: used_mib(card) <= before + REST_MIB, 30.0)

    ooms = sum(receipt.cause == "cuda_oom" for receipt in ran)
    busy = busy_share([receipt for receipt in ran if receipt.outcome == "ok"])
    say(
        f"{card.name}, {total} MiB: {len(jobs)} jobs in {took_s:.1f} s, {ooms} out of memory",
        f"  a body ran {busy:.1%} of the time; the driver says "
        f"{statistics.fmean(watch.busy_percent):.0f} % busy",
        f"  most in use {max(watch.used_mib)} MiB; {before} before, {used_mib(card)} after",
    )
    assert ooms == 0
    assert len(ran) == len(jobs), "each ran once"
    assert busy >= 0.98


def test_a_liar_is_stopped_and_the_honest_ones_beside_it_end_well(scene: CardScene, card: Device, say: Say):
    total, release = card.vram_total_mib, scene.settings.project / "release"
    says = round(total * 0.3)
    honest = [scene.hold(n, says, says - CONTEXT_MIB, until=str(release)) for n in range(2)]
    scene.node(scene.env)
    scene.run("conduct")
    for job in honest:
        scene.until_state(job, "running", limit_s=60.0)
    until(lambda: used_mib(card) >= 2 * (says - CONTEXT_MIB), 60.0)

    # Grows by some 3 GiB a second, far beyond what it said, until the card is full or it is stopped.
    liar = scene.hold(9, 2048, total, seconds=5.0, pace_s=0.02)
    first = until(lambda: scene.receipts([liar]), 120.0)[0]
    release.touch()
    for job in honest:
        scene.until_state(job, "done", limit_s=60.0)

    say(f"{card.name}: the liar said 2048 MiB and was stopped at {first.usage.vram_mib}: {first.message}")
    assert first.cause == "cuda_oom"
    assert [receipt.outcome for receipt in scene.receipts(honest)] == ["ok", "ok"]
