"""Real work beside a shell script and HyperQueue: transcodes, or a reel, from plan to verified against
`xargs -P CORES ffmpeg`, and against the same lines as HyperQueue's tasks.

    python benchmarks/real.py [--films 16] [--seconds 8] [--rounds 3] [--reel] [--json FILE]

The same ffmpeg with the same options over the same films, in turns. Cold: a project in which nothing runs
yet, with a Valkey and a node of its own, until all is verified and has ended. Again: the same command, when
there is nothing to do. HyperQueue: its server and a worker with all cores in one process, begun each round,
until the last task has ended; nothing is verified. Goal: cold at most 1.10 times of xargs with 16 films, 1.03
with 160; again 1.0 s.

`--reel`: the workflow `highlights` instead, which also chooses what it shows; the script looks at each film
for nothing, and takes its first seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import media
from beside import CommandTime, row, timed
from peer_env import python_of_peers
from real_shell import by_hyperqueue, by_xargs, reel_by_hyperqueue, reel_by_shell

PLAN = '''\
"""Each film of a folder, once."""

from conductor.model.spec import Needs
from conductor.planning import input_files, input_of, job


def plan(options, settings):
    for path in input_files(settings.project / "films", ["mp4"], settings, skipped=[]):
        yield job(
            "films",
            "media.transcode",
            {"source": str(path), "encoder": "cpu"},
            inputs=input_of(path),
            writes={f"published:films/{path.stem}-{{id}}.mp4": 50_000_000},
            needs=Needs(cpu=1, ram_mib=512),
        )
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--films", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reel", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="real") as folder:
        films = Path(folder) / "films"
        films.mkdir()
        for n in range(asked.films):
            media.clip(films / f"film{n:03}.mp4", seconds=asked.seconds + n % 4, size="1280x720")
        rows = [
            {"films": asked.films, **each} for each in compared(films, Path(folder), asked.rounds, asked.reel)
        ]
    for each in rows:
        print("  ".join(f"{key} {value}" for key, value in each.items()))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(rows))


def compared(films: Path, folder: Path, rounds: int, is_reel: bool) -> list[dict[str, str | float]]:
    """A row a way; ratios are those of the shell script of the same round."""
    control = "script" if is_reel else "xargs"
    shell = reel_by_shell if is_reel else by_xargs
    peer, python = reel_by_hyperqueue if is_reel else by_hyperqueue, python_of_peers()
    taken: dict[str, list[CommandTime]] = {way: [] for way in (control, "hyperqueue", "cold", "again")}
    for number in range(rounds):
        taken[control].append(shell(films, folder / f"x{number}"))
        taken["hyperqueue"].append(peer(python, films, folder / f"h{number}"))
        project = made_project(folder / f"p{number}", films)
        words = ["highlights", "films"] if is_reel else ["films"]
        for way in ("cold", "again"):
            taken[way].append(timed([sys.executable, "-m", "conductor", "run", *words], project))
    return [row(way, runs, taken[control], control) for way, runs in taken.items()]


def made_project(folder: Path, films: Path) -> Path:
    (folder / "workflows" / "films").mkdir(parents=True)
    (folder / "workflows" / "films" / "plan.py").write_text(PLAN)
    (folder / "films").mkdir()
    for film in films.iterdir():
        (folder / "films" / film.name).hardlink_to(film)
    (folder / "conductor.toml").write_text("[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n")
    return folder


if __name__ == "__main__":
    main()
