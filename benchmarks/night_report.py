"""How long the report of a night takes to work out, by the processor and by the clock.

    python benchmarks/night_report.py [--jobs 10000] [--ticks 20000]

A made-up night: each tenth job fails once and is tried again, each publishes a small file, two run at any
time, and a class is held at each tick. Goal: 10,000 receipts in a few seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from builders import a_reservation
from report_scene import SINCE, ReportScene, a_tick, held

from conductor.analysis.replay.recording import Files, folder_of
from conductor.model.receipt import OutputFact, Receipt
from conductor.views.night.page import render

NIGHT_S = 14 * 3600.0
CONTENT = b"{}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        night = made_up(Path(folder), asked.jobs, asked.ticks)
        for is_deep in (False, True):
            began, used = time.perf_counter(), time.process_time()
            report = night.report(is_deep=is_deep)
            page = render(report, {}, "")
            print(
                f"{'read whole' if is_deep else 'looked at '}: "
                f"{time.process_time() - used:.2f} s of processor, "
                f"{time.perf_counter() - began:.2f} s by the clock; {report.sources.receipts} receipts, "
                f"{report.outputs.files} files, {report.sources.ticks} ticks, {len(page) >> 10} KiB"
            )


def made_up(folder: Path, jobs: int, ticks: int) -> ReportScene:
    night = ReportScene(folder)
    specs = night.jobs(jobs)
    night.dispatch(specs)
    digest, lines = hashlib.sha256(CONTENT).hexdigest(), list[bytes]()
    night.file("published:n/x").parent.mkdir(parents=True)
    for n, spec in enumerate(specs):
        begins = SINCE + n * (NIGHT_S - 100) / jobs
        common: dict[str, Any] = {
            "v": 1,
            "job_id": spec.id,
            "workflow": spec.workflow,
            "task": spec.task,
            "node": "studio1",
        }
        common |= {"worker": "w", "devices": (f"gpu{n % 2}",), "started_at": begins, "ended_at": begins + 60}
        facts = tuple(OutputFact(path=out.path, bytes=len(CONTENT), sha256=digest) for out in spec.writes)
        for out in spec.writes:
            night.file(out.path).write_bytes(CONTENT)
        tries = list[dict[str, Any]]()
        if n % 10 == 0:
            tries.append(
                {"attempt": 1, "outcome": "failed", "cause": "task_error", "message": f"broke at {n}"}
            )
        tries.append({"attempt": len(tries) + 1, "outcome": "ok", "outputs": facts})
        lines += [msgspec.json.encode(Receipt(**common, **each)) + b"\n" for each in tries]
    night.log.file.parent.mkdir(parents=True, exist_ok=True)
    night.log.file.write_bytes(b"".join(lines))
    hold, candidate = held("one", "vram")
    files = Files(folder_of(night.settings.layout), 64 << 20)
    for n in range(ticks):
        going = [a_reservation(specs[(n + k) % jobs].id, class_id="one", vram_mib=4000) for k in range(2)]
        files.append(a_tick(n * NIGHT_S / ticks, [hold], [candidate], going))
    files.flush()
    files.close()
    return night


if __name__ == "__main__":
    main()
