"""How right the forecast at the start of a run is: `python benchmarks/prediction.py [--clips 30] [--runs 3]
[--json]`.

The highlights workflow over so many clips, several times in one project: each time other copies of the same
clips, so that every job is new and what the receipts of the runs before taught counts. The first run has
nothing to go by.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from workflows.highlights.samples import make_samples

HERE = Path(__file__).resolve().parents[1]
#: The figure to reach, for the last run.
REACH = 0.10


def main() -> int:
    """0: within reach, and the forecasts were made from what was learned; 1: not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the project there; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    chosen = parser.parse_args()
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        rows = measured(chosen.folder.resolve(), chosen.clips, chosen.runs)
    else:
        with tempfile.TemporaryDirectory(prefix="conductor-prediction-") as folder:
            rows = measured(Path(folder), chosen.clips, chosen.runs)
    show(rows, chosen.json)
    last = rows[-1]["off"]
    return int(last is None or abs(last) > REACH or rows[-1]["dead"] > 0)


def measured(project: Path, clips: int, runs: int) -> list[dict[str, Any]]:
    (project / "conductor.toml").write_text(
        "[lanes.cpu]\nworkers = 2\n[dashboard]\nis_on = false\n", encoding="utf-8"
    )
    drawn = make_samples(project / "drawn")
    return [one_run(project, drawn, clips, number) for number in range(1, runs + 1)]


def one_run(project: Path, drawn: tuple[Path, ...], clips: int, number: int) -> dict[str, Any]:
    folder = project / f"clips-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for n in range(clips):
        os.link(drawn[n % len(drawn)], folder / f"{n:03d}.mp4")
    manifest = project / "manifests" / f"run-{number}.jsonl"
    conductor(project, "plan", "highlights", str(folder), "-o", str(manifest))
    conductor(project, "dispatch", str(manifest), "--target", f"backlog:run-{number}")
    account = json.loads(
        conductor(project, "conduct", "--backlog", f"backlog:run-{number}", "--until-done", "--json")
    )
    predicted, took = account["predicted_s"], account["took_s"]
    return {
        "run": number,
        "jobs": account["done"],
        "dead": account["dead"],
        "predicted_s": predicted,
        "took_s": took,
        "off": None if predicted is None or not took else (predicted - took) / took,
        "held_s_by_gate": account["held_s_by_gate"],
    }


def conductor(project: Path, *argv: str) -> str:
    """Its standard output; jobs that died are told by its exit code 1. Raises `CalledProcessError` for any
    other.
    """
    env = {**os.environ, "CONDUCTOR_PROJECT": str(project), "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-m", "conductor", *argv],
        cwd=project,
        env=env,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
    )
    if done.returncode > 1:
        done.check_returncode()
    return done.stdout


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'run':>3}  {'jobs':>5}  {'ETA at the start':>16}  {'real':>8}  off")
    for row in rows:
        predicted = "nobody could say" if row["predicted_s"] is None else f"{row['predicted_s']:.1f} s"
        took = "" if row["took_s"] is None else f"{row['took_s']:.1f} s"
        off = "" if row["off"] is None else f"{100 * row['off']:+.1f} %"
        died = f"  {row['dead']} died: no measure" if row["dead"] else ""
        print(f"{row['run']:>3}  {row['jobs']:>5}  {predicted:>16}  {took:>8}  {off}{died}")
    print(f"reach: within {100 * REACH:.0f} % in the last run")


if __name__ == "__main__":
    sys.exit(main())
