"""Conductor beside its peers: `python benchmarks/peers.py [--rounds 3] [--peer NAME ..] [--json FILE]
[--results]`.

One command: the peers get an environment of their own, all play on one Valkey (append-only file, fsync each
second), in turns, round after round; what is compared are medians of the same run. Conductor plays with all
promises on: planned into a manifest, gated, isolated, receipted on disk, verified. --results writes
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import peer_env
import peer_run
import results
import throughput
from peer_report import markdown

HERE = Path(__file__).resolve().parent
OURS = "Conductor"
PROCESSES = 2
#: Jobs of one run: long enough for the slow ones to settle, short enough for all of them in minutes.
COUNTS = {"RQ fork": 300, "RQ SimpleWorker": 1000, "HyperQueue": 400}
MANY, SLEEPS, INFERENCES = 3000, 400, 300
STAMPS, PAUSE_S = 150, 0.015

#: case → peer → one figure a round (jobs/s; infer: ms a job), or all latencies of all rounds (ms).
Measured = dict[str, dict[str, list[float]]]


def of_peer(stage: peer_run.Stage, peer: peer_run.Peer, case: str) -> list[float]:
    """`infer` with one worker: the cores are the model's."""
    if case == "stamp":
        return peer_run.latencies_ms(stage, peer, STAMPS, PAUSE_S)
    if case == "infer":
        return [1000 / peer_run.rate(stage.of(1), peer, case, INFERENCES)]
    wanted = {"noop": COUNTS.get(peer.name, MANY), "sleep": SLEEPS}[case]
    return [peer_run.rate(stage, peer, case, wanted)]


def of_ours(url: str, model: Path) -> dict[str, Callable[[], list[float]]]:
    """The same cases. Sleeps run in the cloud lane, with ten slots."""
    return {
        "noop": lambda: throughput.noop(MANY, rounds=1, url=url)["all"],
        "sleep": lambda: throughput.cloud(MANY, rounds=1, url=url)["all"],
        "stamp": lambda: throughput.idle(STAMPS, url=url)["all"],
        "infer": lambda: [1000 / rate for rate in throughput.infer(INFERENCES, model, url=url)["all"]],
    }


def play(url: str, folder: Path, rounds: int, chosen: Sequence[str]) -> Measured:
    stage = peer_run.Stage(peer_env.python_of_peers(), url, folder, PROCESSES)
    subprocess.run(
        [str(stage.python), str(peer_run.HERE / "model.py"), str(folder / "model.onnx")], check=True
    )
    measured: Measured = {}

    def one(name: str, case: str, measure: Callable[[], list[float]]) -> None:
        peer_env.emptied(url)
        try:
            values = measure()
        except (TimeoutError, ChildProcessError, OSError) as e:
            print(f"{name}, {case}: {e}", file=sys.stderr)
            return
        measured.setdefault(case, {}).setdefault(name, []).extend(values)
        print(f"{name:<28} {case:<6} {statistics.median(values):10.2f}", file=sys.stderr)

    for _ in range(rounds):
        for peer in peer_run.PEERS:
            for case in peer.cases if not chosen or peer.name in chosen else ():
                one(peer.name, case, lambda peer=peer, case=case: of_peer(stage, peer, case))
        for case, measure in (
            of_ours(url, folder / "model.onnx").items() if not chosen or OURS in chosen else ()
        ):
            one(OURS, case, measure)
    return measured


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--peer", action="append", default=[], help="only this one (again for more)")
    options.add_argument("--json", type=Path, help="the figures, every one of them, into this file")
    options.add_argument("--results", action="store_true", help="write benchmarks/RESULTS.md")
    given = options.parse_args()
    about = results.machine()
    with tempfile.TemporaryDirectory(prefix="peers-") as name, peer_env.shared_valkey(Path(name)) as url:
        measured = play(url, Path(name), given.rounds, given.peer)
    if given.json:
        given.json.write_text(json.dumps({"machine": about, "measured": measured}), encoding="utf-8")
    text = markdown(
        measured,
        results.stamp(f"python benchmarks/peers.py --rounds {given.rounds} --results", about),
        given.rounds,
    )
    print(text)
    if given.results:
        results.write("peers", "Beside its peers", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
