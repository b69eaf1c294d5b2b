"""A match of two halves that is drawn and sounded, whose events are known: found, judged, cut, and proved.

What the rules are not sure of a person would have to say; here a linesman who knows the truth says it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from workflows.match import drawn, script

#: Half of what a camera takes: enough for rules that look ten times a second, and half the work.
FPS = 12.5
HALVES = {"first-half.mp4": script.first_half, "second-half.mp4": script.second_half}


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    from workflows.match.linesman import judge_until

    nas = folder / "nas"
    scripts = {name: half() for name, half in HALVES.items()}
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(make, scripts.values(), [nas / name for name in scripts]))
    known = {name: [event._asdict() for event in each.truth] for name, each in scripts.items()}
    truth = folder / "truth.json"
    truth.write_text(
        json.dumps({"is_numbered": True, "parts": list(known.values())}, indent=1), encoding="utf-8"
    )
    is_over = threading.Event()
    linesman = threading.Thread(target=judge_until, args=(folder, known, is_over), daemon=True)
    linesman.start()
    pitch = ",".join(f"{side:g}" for side in drawn.PITCH)
    films = [str(nas / name) for name in HALVES]
    try:
        yield [
            *films,
            *("--name", "derby", "--pitch", pitch, "--keeper", "left", "--truth", str(truth)),
            *("--before", "1.5", "--after", "1"),
        ]
    finally:
        is_over.set()
        linesman.join()


def make(story: script.Script, target: Path) -> None:
    """Written once: a new date would make everything anew."""
    if not target.exists():
        drawn.draw(story, target, fps=FPS)
