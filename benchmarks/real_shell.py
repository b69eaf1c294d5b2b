"""The same work by other means: a shell script, or HyperQueue, with the very ffmpeg that jobs run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from beside import CommandTime, timed

from workers.media import codecs, common_form, ffmpeg, film_window, probing
from workers.media.common_form import FrameFormat
from workers.tasks import media_transcode

CORES = os.cpu_count() or 1
#: Of a reel, as `workflows/highlights` has it unless it is told otherwise.
REEL_S, FRAME, CRF, LOOK = (
    4.0,
    FrameFormat(width=1280, height=720, fps=30),
    20,
    "fps=4,scale=160:-2:flags=area",
)
HYPERQUEUE = Path(__file__).parent / "peer_apps" / "hyperqueue_lines.py"


def files_of(films: Path) -> list[Path]:
    return sorted(films.iterdir())


def by_xargs(films: Path, out: Path) -> CommandTime:
    out.mkdir()
    took = timed(xargs(transcode(films, out, "$0")), out, names(films))
    assert len(files_of(out)) == len(files_of(films))
    return took


def by_hyperqueue(python: Path, films: Path, out: Path) -> CommandTime:
    """From a server that is not there to the last file, as with us."""
    out.mkdir()
    took = hyperqueue(python, [transcode(films, out, str(film)) for film in files_of(films)], out)
    assert len(files_of(out)) == len(files_of(films))
    return took


def reel_by_hyperqueue(python: Path, films: Path, out: Path) -> CommandTime:
    """The same lines as the script's: a task for each film, and behind them the one that joins."""
    out.mkdir()
    reel = reel_lines(films, out)
    took = hyperqueue(python, [reel.each(str(film)) for film in files_of(films)], out, reel.join)
    reel.check(films, out)
    return took


def hyperqueue(python: Path, lines: Sequence[str], out: Path, last: str = "") -> CommandTime:
    """`python`: of the peers. Each line on one core; `last` when all have ended."""
    given = msgspec.json.encode({"lines": lines, "last": last, "folder": str(out), "cores": CORES})
    server = out.with_suffix(".hq")
    server.mkdir()
    return timed([str(python), str(HYPERQUEUE), str(server)], out, given)


class ReelLines(NamedTuple):
    """Of a script that makes a reel."""

    #: Path of a film, or the variable that holds it → a look at it and its cut.
    each: Callable[[str], str]
    join: str
    frames: int

    def check(self, films: Path, out: Path) -> None:
        reel = probing.film(out / "reel.mkv", "reel.mkv")
        assert reel.frames and reel.frames >= 0.9 * len(files_of(films)) * self.frames, reel.frames


def reel_by_shell(films: Path, out: Path) -> CommandTime:
    """A look at each film, a cut of each, and the cuts joined. The look chooses nothing, and is as dear."""
    out.mkdir()
    reel = reel_lines(films, out)
    took = timed(["sh", "-c", f"{shlex.join(xargs(reel.each('$0')))} && {reel.join}"], out, names(films))
    reel.check(films, out)
    return took


def reel_lines(films: Path, out: Path) -> ReelLines:
    first = files_of(films)[0]
    facts = probing.film(first, first.name)
    streams = film_window.window(first, first.name, facts, FRAME, 0.0, REEL_S, 1)
    options: dict[str, Any] = {"frames:v": round(REEL_S * FRAME.fps), "c:a": "flac"}
    options |= {"strict": "experimental", **common_form.h264(FRAME, CRF, 1)}
    cut = ffmpeg.arguments(ffmpeg.sink(list(streams), out / first.name, "mp4", **options))
    look = ["-threads", "1", "-i", f"file:{first}", "-vf", LOOK, "-f", "rawvideo", "-y", "/dev/null"]
    join = "for f in *.mp4; do echo \"file '$PWD/$f'\"; done > list && " + shlex.join(
        [ffmpeg.binary(), *QUIET, "-f", "concat", "-safe", "0", "-i", "list", "-c", "copy", "-y", "reel.mkv"]
    )

    def each(film: str) -> str:
        return f"{line(look, first, out, film)} && {line(cut, first, out, film)}"

    return ReelLines(each, join, options["frames:v"])


QUIET = ("-nostdin", "-v", "error", "-filter_complex_threads", "1")


def xargs(each: str) -> list[str]:
    return ["xargs", "-P", str(CORES), "-n", "1", "sh", "-c", each]


def names(films: Path) -> bytes:
    return "\n".join(map(str, files_of(films))).encode()


def transcode(films: Path, out: Path, film: str) -> str:
    """One line of shell, for the film `film`: its path, or the variable that holds it."""
    first = files_of(films)[0]
    facts = probing.film(first, first.name)
    given = media_transcode.TranscodeArgs(encoder="cpu")
    encoder = codecs.candidates("h264", "cpu", False)[0]
    streams, options = media_transcode.recipe(first, facts, given, encoder, 1)
    options |= media_transcode.container(facts, given, "mp4") | codecs.options(encoder, None, 1)
    return line(ffmpeg.arguments(ffmpeg.sink(streams, out / first.name, "mp4", **options)), first, out, film)


def line(words: Sequence[str], first: Path, out: Path, film: str) -> str:
    """What was worked out for the first film, as a line of shell for any."""
    found = shlex.join([ffmpeg.binary(), *QUIET, *words])
    found = found.replace(str(first), f'"{film}"')
    return found.replace(str(out / first.name), f'{out}/"$(basename "{film}")"')
