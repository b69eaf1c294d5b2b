"""Real work beside a shell script: transcodes from plan to verified against `xargs -P CORES ffmpeg`.

    python benchmarks/real.py [--films 16] [--seconds 8] [--rounds 3] [--json FILE]

The same ffmpeg with the same options over the same films, in turns. Cold: a project in which nothing runs
yet, with a Valkey and a node of its own, until all is verified and has ended. Again: the same command, when
there is nothing to do. Goal: cold at most 1.10 times of xargs with 16 films, 1.03 with 160; again 1.0 s.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import media
from beside import CommandTime, row, timed

from workers.media import codecs, ffmpeg, probing
from workers.tasks import media_transcode

CORES = os.cpu_count() or 1
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
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="real") as folder:
        films = Path(folder) / "films"
        films.mkdir()
        for n in range(asked.films):
            media.clip(films / f"film{n:03}.mp4", seconds=asked.seconds + n % 4, size="1280x720")
        taken: dict[str, list[CommandTime]] = {"xargs": [], "cold": [], "again": []}
        for number in range(asked.rounds):
            taken["xargs"].append(by_xargs(films, Path(folder) / f"x{number}"))
            project = made_project(Path(folder) / f"p{number}", films)
            for way in ("cold", "again"):
                taken[way].append(timed([sys.executable, "-m", "conductor", "run", "films"], project))
    rows = [{"films": asked.films, **row(way, runs, taken["xargs"], "xargs")} for way, runs in taken.items()]
    for each in rows:
        print("  ".join(f"{key} {value}" for key, value in each.items()))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(rows))


def by_xargs(films: Path, out: Path) -> CommandTime:
    out.mkdir()
    first = next(iter(sorted(films.iterdir())))
    facts = probing.film(first, first.name)
    given = media_transcode.TranscodeArgs(encoder="cpu")
    encoder = codecs.candidates("h264", "cpu", False)[0]
    streams, options = media_transcode.recipe(first, facts, given, encoder, 1)
    options |= media_transcode.container(facts, given, "mp4") | codecs.options(encoder, None, 1)
    words = ffmpeg.arguments(ffmpeg.sink(streams, out / first.name, "mp4", **options))
    line = shlex.join([ffmpeg.binary(), "-nostdin", "-v", "error", "-filter_complex_threads", "1", *words])
    line = line.replace(str(first), '"$0"').replace(str(out / first.name), f'{out}/"$(basename "$0")"')
    names = "\n".join(map(str, sorted(films.iterdir()))).encode()
    took = timed(["xargs", "-P", str(CORES), "-n", "1", "sh", "-c", line], out, names)
    assert len(list(out.iterdir())) == len(list(films.iterdir()))
    return took


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
