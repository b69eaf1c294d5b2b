"""The same work by other means: a shell script, or HyperQueue, with the very ffmpeg that jobs run."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
#: `hq` takes a path on the command line, and tells each task its line by this variable.
ENTRY = "HQ_ENTRY"


def files_of(films: Path) -> list[Path]:
    return sorted(films.iterdir())


def by_xargs(films: Path, out: Path) -> CommandTime:
    out.mkdir()
    took = timed(xargs(transcode(films, out, "$0")), out, names(films))
    assert len(files_of(out)) == len(files_of(films))
    return took


def by_hyperqueue(films: Path, out: Path) -> CommandTime:
    """From a server that is not there to the last file, as with us."""
    out.mkdir()
    listed = out.with_suffix(".names")
    listed.write_bytes(names(films))
    task = ["sh", "-c", transcode(films, out, f"${ENTRY}")]
    submit = ["hq", "submit", "--wait", "--cpus=1", "--stdout=none", f"--each-line={listed}", "--", *task]
    before, began = cpu_s(), time.perf_counter()
    with hyperqueue(out.with_suffix(".hq")) as env:
        timed(["env", *env, *submit], out)
    assert len(files_of(out)) == len(files_of(films))
    return CommandTime(time.perf_counter() - began, cpu_s() - before)


def cpu_s() -> float:
    """Of all that was started here and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def hyperqueue(folder: Path) -> Generator[list[str]]:
    """A server with this machine's cores; the variable by which `hq` finds it."""
    folder.mkdir()
    env = [f"HQ_SERVER_DIR={folder}"]
    parts = [["server", "start"], ["worker", "start", f"--cpus={CORES}"]]
    going: list[subprocess.Popen[bytes]] = []
    try:
        for part in parts:
            going.append(subprocess.Popen(["env", *env, "hq", *part], stdout=subprocess.DEVNULL))
            while subprocess.run(["env", *env, "hq", "server", "info"], capture_output=True).returncode:
                time.sleep(0.05)
        yield env
    finally:
        subprocess.run(["env", *env, "hq", "server", "stop"], check=False, capture_output=True)
        for process in going:
            process.wait(30)


def has_hyperqueue() -> bool:
    if shutil.which("hq") is None:
        print("HyperQueue is left out: no `hq` is on the PATH", file=sys.stderr)
        return False
    return True


def reel_by_shell(films: Path, out: Path) -> CommandTime:
    """A look at each film, a cut of each, and the cuts joined. The look chooses nothing, and is as dear."""
    out.mkdir()
    first = files_of(films)[0]
    facts = probing.film(first, first.name)
    streams = film_window.window(first, first.name, facts, FRAME, 0.0, REEL_S, 1)
    options: dict[str, Any] = {"frames:v": round(REEL_S * FRAME.fps), "c:a": "flac"}
    options |= {"strict": "experimental", **common_form.h264(FRAME, CRF, 1)}
    cut = ffmpeg.arguments(ffmpeg.sink(list(streams), out / first.name, "mp4", **options))
    look = ["-threads", "1", "-i", f"file:{first}", "-vf", LOOK, "-f", "rawvideo", "-y", "/dev/null"]
    each = f"{line(look, first, out, '$0')} && {line(cut, first, out, '$0')}"
    join = "for f in *.mp4; do echo \"file '$PWD/$f'\"; done > list && " + shlex.join(
        [ffmpeg.binary(), *QUIET, "-f", "concat", "-safe", "0", "-i", "list", "-c", "copy", "-y", "reel.mkv"]
    )
    script = f"{shlex.join(xargs(each))} && {join}"
    took = timed(["sh", "-c", script], out, names(films))
    reel = probing.film(out / "reel.mkv", "reel.mkv")
    assert reel.frames and reel.frames >= 0.9 * len(files_of(films)) * options["frames:v"], reel.frames
    return took


QUIET = ("-nostdin", "-v", "error", "-filter_complex_threads", "1")


def xargs(each: str) -> list[str]:
    return ["xargs", "-P", str(CORES), "-n", "1", "sh", "-c", each]


def names(films: Path) -> bytes:
    return "\n".join(map(str, files_of(films))).encode()


def transcode(films: Path, out: Path, film: str) -> str:
    """One line of shell, for the film that the variable `film` names."""
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
