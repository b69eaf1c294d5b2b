"""A match that is looked at, beside decoding it alone: `python benchmarks/match.py [--pairs 5] [--json F]`.

The same film by turns: `match.look` with the detector that comes with it, and `ffmpeg -f null`; each with one
core and with two. Two films: the drawn one, of so few bits that it costs next to nothing to decode, and one
like a camera's, 1080p with grain. Decoding's time ÷ that of looking: 1 is as fast as decoding alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from conductor.base.settings.settings import load
from conductor.model.spec import JobSpec, Needs, Output
from workers.media import ffmpeg
from workers.task_api.context import JobContext
from workers.task_api.warm_cache import WarmStore
from workers.tasks import match_look
from workflows.match import drawn, script

#: The goal: of decoding alone.
LEAST = 0.8
FOUND = "scratch:match/found.f32"
#: Film → how often the drawn half is repeated in it, and what is done to its pictures.
FILMS: dict[str, tuple[int, Sequence[str]]] = {
    "drawn, 1280x800": (1, ("-c", "copy")),
    "grain, 1920x1080, 8 Mbit/s": (
        0,
        (
            *("-t", "15", "-vf", "scale=1920:1080,setsar=1,noise=alls=14:allf=t", "-an"),
            *("-c:v", "libx264", "-preset", "veryfast", "-b:v", "8M", "-maxrate", "9M", "-bufsize", "9M"),
        ),
    ),
}


def made(folder: Path) -> dict[str, Path]:
    drawn_once = drawn.draw(script.first_half(), folder / "half.mp4", scale=2)
    films: dict[str, Path] = {}
    for number, (name, (times, how)) in enumerate(FILMS.items()):
        films[name] = folder / f"{number}.mp4"
        argv = ["-v", "error", "-stream_loop", str(times), "-i", str(drawn_once), *how, str(films[name])]
        subprocess.run([ffmpeg.binary(), *argv], check=True)
    return films


def decoded(film: Path, threads: int) -> None:
    argv = ["-v", "error", "-threads", str(threads), "-i", str(film), "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run([ffmpeg.binary(), *argv], check=True)


def unheard(share: float, note: str) -> None:
    """Nobody watches."""


def looked_at(film: Path, threads: int, project: Path, warm: WarmStore) -> None:
    """The task's body, as a worker's child runs it."""
    settings = load(project)
    spec = JobSpec(
        v=1,
        id="a" * 24,
        workflow="match",
        task="match.look",
        args={},
        needs=Needs(cpu=threads, ram_mib=768),
        reads=(str(film),),
        writes=(Output(path=FOUND),),
    )
    with tempfile.TemporaryDirectory(dir=project) as scratch:
        found = {
            **settings.roots,
            "scratch": msgspec.structs.replace(settings.roots["scratch"], path=Path(scratch)),
        }
        own = msgspec.structs.replace(settings, roots=found)
        match_look.run({}, JobContext(spec, own.for_code, on_progress=unheard, warm=warm, attempt=1))


def cpu_s() -> float:
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in each)


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    before, began = cpu_s(), time.monotonic()
    call()
    return time.monotonic() - began, cpu_s() - before


def pair(film: Path, cores: int, project: Path, warm: WarmStore) -> tuple[tuple[float, float], ...]:
    return (
        timed(lambda: decoded(film, cores)),
        timed(lambda: looked_at(film, cores, project, warm)),
    )


def row(name: str, cores: int, pairs: Sequence[tuple[tuple[float, float], ...]]) -> dict[str, object]:
    def ratio(k: int) -> str:
        found = [alone[k] / looked[k] for alone, looked in pairs]
        return f"{statistics.median(found):.2f} ({min(found):.2f} – {max(found):.2f})"

    medians = [[statistics.median(each[n][k] for each in pairs) for k in (0, 1)] for n in (0, 1)]
    return {
        "film": name,
        "cores": cores,
        "decoded_wall_s": medians[0][0],
        "looked_wall_s": medians[1][0],
        "wall of a pair": ratio(0),
        "decoded_cpu_s": medians[0][1],
        "looked_cpu_s": medians[1][1],
        "cpu of a pair": ratio(1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    is_slow = False
    with tempfile.TemporaryDirectory(prefix="match-") as folder:
        project, warm = Path(folder), WarmStore()
        (project / "conductor.toml").write_text(f'inputs = ["{project}"]\n')
        for name, film in made(project).items():
            for cores in (1, 2):
                looked_at(film, cores, project, warm)
                pairs = [pair(film, cores, project, warm) for _ in range(options.pairs)]
                is_slow |= statistics.median(alone[0] / looked[0] for alone, looked in pairs) < LEAST
                rows.append(row(name, cores, pairs))
                print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main())
