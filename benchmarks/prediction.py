"""How right the forecast of a run is: `python benchmarks/prediction.py [--clips 30] [--json FILE]`.

The highlights workflow over so many clips by `conductor run`, several times in a project of `conductor init`:
each time other copies of the same clips, so that every job is new and what the receipts of the runs before
taught counts. A forecast is made at the start of each run and once a tenth of its jobs has ended, by what the
conductor itself asks. Exit code 1: the last run's start is off by more than a twentieth, or the first run's
tenth by more than a tenth, once what the machine did meanwhile is taken out (`slower`).

Two controls stand beside each. `ideal`: the same moment played with what each job really took, so it is wrong
only by what a play leaves out. `slower`: what the jobs took ÷ what was expected of them; a machine that other
people load moves it, and nobody can foretell that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.open_ledger import redis_of
from conductor.adapters.redis.scans.pending import Pending
from conductor.analysis.forecast.live_world import Known, LiveWorkload, world_of
from conductor.analysis.forecast.predict import Predictor
from conductor.base.errors import ConductorError
from conductor.base.settings.limits import live
from conductor.base.settings.settings import load
from conductor.model.limits import Limits
from conductor.model.receipt import Receipt
from conductor.model.snapshot import Snapshot
from workflows.highlights.samples import make_samples

HERE = Path(__file__).resolve().parents[1]
#: The figures to reach: at the start of the last run, and after a tenth of the first.
AT_START, AFTER_A_TENTH = 0.05, 0.10
TENTH = 0.1
#: Between two looks at how far the run is.
EACH_S = 0.1
BACKLOG = "highlights"


class RunMoment(NamedTuple):
    """What was known at one instant of a run."""

    name: str
    snapshot: Snapshot
    pending: list[Pending]
    past: Known
    limits: Limits


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="how much of each clip the reel shows")
    parser.add_argument("--folder", type=Path, help="make the project there, and leave it; it is new")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    with (
        nullcontext(chosen.folder)
        if chosen.folder
        else tempfile.TemporaryDirectory(prefix="conductor-prediction-") as folder
    ):
        rows = measured(Path(folder).resolve(), chosen.clips, chosen.runs, chosen.seconds)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows), encoding="utf-8")
    goals = ((chosen.runs, "start", AT_START), (1, "a tenth", AFTER_A_TENTH))
    off = {(row["run"], row["at"]): row["off_without_it"] for row in rows}
    return int(any(abs(off[run, at]) > reach for run, at, reach in goals))


def measured(project: Path, clips: int, runs: int, seconds: float) -> list[dict[str, Any]]:
    project.mkdir(parents=True, exist_ok=True)
    conductor(project, "init", str(project)).wait()
    drawn = make_samples(project / "drawn")
    return [row for number in range(1, runs + 1) for row in one_run(project, drawn, clips, number, seconds)]


def one_run(
    project: Path, drawn: tuple[Path, ...], clips: int, number: int, seconds: float
) -> list[dict[str, Any]]:
    folder = project / f"clips-{number}"
    folder.mkdir()
    for n in range(clips):
        os.link(drawn[n % len(drawn)], folder / f"{n:03d}.mp4")
    running = conductor(project, "run", "highlights", str(folder), "--seconds", f"{seconds:g}")
    try:
        moments = watched(project, running)
    finally:
        code = running.wait()
    if code:
        raise SystemExit(f"run {number} ended with {code}: no measure")
    took = {receipt.job_id: receipt for receipt in read_receipts(project / "receipts")}
    load = os.getloadavg()[0]
    return [{"run": number, **row(moment, took), "load": round(load, 1)} for moment in moments]


def watched(project: Path, running: subprocess.Popen[bytes]) -> list[RunMoment]:
    """The start of the run, and a tenth of it, seen as the forecast beside it sees them."""
    settings = load(project)
    while running.poll() is None:
        try:
            with redis_of(settings, is_lenient=True, is_joining=True) as client:
                predictor = Predictor(settings, client, [BACKLOG])
                begin = waited_for(predictor, "start", running, 0)
                tenth = waited_for(predictor, "a tenth", running, round(TENTH * len(begin.pending)))
                return [begin, tenth]
        except ConductorError:
            time.sleep(EACH_S)  # the server of the run is not there yet
    raise SystemExit("the run ended before it began")


def waited_for(predictor: Predictor, name: str, running: subprocess.Popen[bytes], ended: int) -> RunMoment:
    """The first instant at which a node reports and so many jobs of this run have ended."""
    before: int | None = None
    while running.poll() is None:
        counts = predictor.counts()
        snapshot, _ = predictor.observed()
        pending = predictor.pending() or []
        before = counts.get("done", 0) if before is None else before
        if snapshot.nodes and pending and counts.get("done", 0) - before >= ended:
            limits = live(predictor.limits, len(snapshot.nodes))
            return RunMoment(name, snapshot, pending, predictor.known(snapshot), limits)
        time.sleep(EACH_S)
    raise SystemExit("the run ended before it could be looked at")


def row(moment: RunMoment, took: dict[str, Receipt]) -> dict[str, Any]:
    """The end that was named and the ideal one, beside the real end."""
    expected = LiveWorkload(moment.pending, moment.snapshot, moment.past)
    known_s = {job.id: job.duration_s for job in expected.jobs}
    really_s = {job.id: took[job.id].ended_at - took[job.id].started_at for job in expected.jobs}
    real = max(took[job.id].ended_at for job in expected.jobs) - moment.snapshot.now
    named = end_of(expected, moment)
    exact = LiveWorkload(moment.pending, moment.snapshot, moment.past)
    for job in exact.jobs:
        job.duration_s = really_s[job.id] + moment.past.overhead_s
    ideal = end_of(exact, moment)
    slower = sum(really_s.values()) / sum(known_s.values())
    return {
        "at": moment.name,
        "left": len(expected.jobs),
        "named_s": round(named, 1),
        "ideal_s": round(ideal, 1),
        "real_s": round(real, 1),
        "off": round(named / real - 1, 3),
        "ideal_off": round(ideal / real - 1, 3),
        "slower": round(slower, 2),
        "off_without_it": round(named * slower / real - 1, 3),
    }


def end_of(load: LiveWorkload, moment: RunMoment) -> float:
    """Seconds from the moment to the end of a play."""
    world = world_of(load, moment.snapshot, moment.limits, {})
    world.run()
    return max(job.end_s for job in world.jobs if job.end_s is not None) - moment.snapshot.now


def conductor(project: Path, *argv: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "CONDUCTOR_PROJECT": str(project), "PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        [sys.executable, "-m", "conductor", *argv], cwd=project, env=env, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
