"""The studio's render beside one xfade graph made by hand: `python benchmarks/studio.py [--pairs 3] [--json
FILE]`.

The same eight clips of 10 s at 720p with fades of a second, encoded alike, by turns: wall time, CPU time and
memory of `conductor run` and all its processes, and of one ffmpeg; SSIM of the two films, their pictures, and
how far picture and sound end apart. Then films of 4 to 64 scenes: the memory of the largest job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from conductor.base.settings.settings import load
from workers.media import ffmpeg, probing

SIZE, FPS, EACH_S, FADE_S = (1280, 720), 25, 10.0, 1.0
BT709 = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
SOURCES = ("testsrc2", "mandelbrot", "smptehdbars", "rgbtestsrc")
CONFIG = """
[lanes]
cpu.workers = 2
io.workers = 0
cloud.workers = 0
gpu.workers = 0
[dashboard]
is_on = false
[limits]
ram_headroom_mib = 0
"""
#: The goals: of one graph; of 4 scenes.
MOST_WALL, MOST_MEMORY, MOST_GROWTH, LEAST_SSIM = 1.0, 0.5, 1.1, 0.99


def clips(folder: Path, count: int) -> list[Path]:
    """Drawn once, with a tone to each; half a second more than is used at both ends."""
    made = [folder / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(made):
        size = "x".join(map(str, SIZE))
        drawn = f"{SOURCES[number % len(SOURCES)]}=s={size}:r={FPS},hue=h={40 * number}"
        picture = f"{drawn},format=yuv420p,{BT709}"
        argv = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=f={200 + 40 * number}:r=48000"]
        encoded = [
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            "16",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        ]
        run([ffmpeg.binary(), "-y", "-loglevel", "error", *argv, "-t", str(EACH_S + 1), *encoded, str(path)])
    return made


def run(argv: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stderr


def by_hand(files: Sequence[Path], target: Path, each_s: float = EACH_S) -> list[str]:
    """One graph: all films open at once, a chain of xfade and one of acrossfade."""
    argv = [ffmpeg.binary(), "-y", "-loglevel", "error"]
    for file in files:
        argv += ["-ss", "0.5", "-t", str(each_s), "-i", str(file)]
    form = f"fps={FPS},{BT709},format=yuv420p"
    graph = [f"[{n}:v]{form}[v{n}]" for n in range(len(files))]
    picture, sound = "v0", "0:a"
    for n in range(1, len(files)):
        offset = n * (each_s - FADE_S)
        graph.append(f"[{picture}][v{n}]xfade=fade:duration={FADE_S}:offset={offset}[p{n}]")
        graph.append(f"[{sound}][{n}:a]acrossfade=d={FADE_S}:c1=qsin:c2=qsin[s{n}]")
        picture, sound = f"p{n}", f"s{n}"
    graph.append(f"[{picture}]format=yuv420p[p]")
    encoded = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "-b:a", "192k"]
    return [*argv, "-filter_complex", ";".join(graph), "-map", "[p]", "-map", f"[{sound}]", *encoded,
            str(target)]  # fmt: skip


def board(files: Sequence[Path], scenes: int, each_s: float, loudness: float | None) -> dict[str, Any]:
    cut = [{"file": str(files[n % len(files)]), "in_s": 0.5, "out_s": 0.5 + each_s} for n in range(scenes)]
    return {"width": SIZE[0], "height": SIZE[1], "fps": FPS, "scenes": cut, "loudness": loudness,
            "transition": {"name": "fade", "seconds": FADE_S}}  # fmt: skip


def rendered(folder: Path, said: dict[str, Any]) -> Path:
    """A fresh project, and what stands to be run there; → the project."""
    folder.mkdir()
    (folder / "conductor.toml").write_text(f'inputs = ["{folder.parent}"]\n' + CONFIG)
    (folder / "board.json").write_text(json.dumps(said))
    return folder


def studio(project: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "conductor",
        "--project",
        str(project),
        "run",
        "studio",
        "render",
        "board.json",
    ]


def measured(argv: Sequence[str], cwd: Path) -> dict[str, float]:
    """Wall and CPU seconds of it and all its children; the most that its ffmpegs held together, MiB."""
    began = time.monotonic()
    with (cwd / "said").open("w") as said:
        process = subprocess.Popen(argv, cwd=cwd, stdout=said, stderr=said)
        peak: list[float] = []
        watch = threading.Thread(target=lambda: peak.extend(watched(process.pid)), daemon=True)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    watch.join(5)
    if status:
        raise SystemExit(f"{argv[:6]}: {(cwd / 'said').read_text()[-3000:]}")
    return {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "ffmpeg_mib": max(peak, default=0.0),
    }


def watched(pid: int) -> Iterator[float]:
    """Memory of all ffmpegs below that process, as often as that can be looked at."""
    while True:
        try:
            root = psutil.Process(pid)
            if root.status() == psutil.STATUS_ZOMBIE:
                return
            yield sum(resident(each) for each in [root, *root.children(recursive=True)])
        except psutil.Error:
            return
        time.sleep(0.03)


def resident(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 2**20 if process.name().startswith("ffmpeg") else 0.0
    except psutil.Error:
        return 0.0


def film_of(project: Path) -> Path:
    (film,) = (project / "published" / "studio").glob("board-*.mp4")
    return film


def receipts(project: Path) -> list[dict[str, Any]]:
    files = load(project).receipts_dir.glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def largest_job(project: Path) -> int:
    """MiB of the job that held most, its body's own process among it."""
    return max(receipt.get("usage", {}).get("rss_mib") or 0 for receipt in receipts(project))


def of_jobs(project: Path) -> dict[str, float]:
    """From the first body's begin to the end of the last, and what all bodies used."""
    found = receipts(project)
    return {
        "jobs_wall_s": max(r["ended_at"] for r in found) - min(r["started_at"] for r in found),
        "jobs_cpu_s": sum(r.get("usage", {}).get("cpu_s") or 0.0 for r in found),
    }


def ssim(one: Path, other: Path) -> float:
    said = run([ffmpeg.binary(), "-hide_banner", "-i", str(one), "-i", str(other), "-lavfi", "[0:v][1:v]ssim",
                "-f", "null", "-"])  # fmt: skip
    return float(re.findall(r"All:([0-9.]+)", said)[-1])


def drift_ms(film: Path) -> float:
    facts = probing.probe(film, film.name)
    return 1000 * abs((facts.picture_s or 0.0) - (facts.sound_s or 0.0))


def pairs(
    folder: Path, files: Sequence[Path], count: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    rows: dict[str, list[dict[str, float]]] = {"one graph by hand": [], "studio": []}
    hand = folder / "hand.mp4"
    project = folder
    for number in range(count):
        tell(f"pair {number + 1} of {count}")
        rows["one graph by hand"].append(measured(by_hand(files, hand), folder))
        project = rendered(folder / f"pair{number}", board(files, len(files), EACH_S, None))
        rows["studio"].append(measured(studio(project), project) | of_jobs(project))
    film = film_of(project)
    found: list[dict[str, Any]] = [
        {"by": name, **{key: round(statistics.median(each[key] for each in runs), 1) for key in runs[0]}}
        for name, runs in rows.items()
    ]
    ratios = [
        s["jobs_wall_s"] / h["wall_s"] for h, s in zip(rows["one graph by hand"], rows["studio"], strict=True)
    ]
    found[1] |= {
        "jobs_wall of a pair": f"{statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})",
        "job_mib": largest_job(project),
        "ssim": round(ssim(film, hand), 4),
        "pictures": probing.probe(film, film.name).frames,
        "drift_ms": round(drift_ms(film), 1),
    }
    found[0] |= {"pictures": probing.probe(hand, hand.name).frames, "drift_ms": round(drift_ms(hand), 1)}
    return found


def growth(
    folder: Path, files: Sequence[Path], counts: Sequence[int], tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Of scenes of 3 s, with the loudness that is the default."""
    rows: list[dict[str, Any]] = []
    each_s = 3.0
    for count in counts:
        tell(f"{count} scenes")
        project = rendered(folder / f"grow{count}", board(files, count, each_s, -14.0))
        ours = measured(studio(project), project)
        film = film_of(project)
        again = [files[n % len(files)] for n in range(count)]
        hand = measured(by_hand(again, folder / "grown.mp4", each_s), folder)
        row = {
            "scenes": count,
            "largest job, MiB": largest_job(project),
            "its ffmpegs, two jobs at once, MiB": round(ours["ffmpeg_mib"], 1),
            "one graph, MiB": round(hand["ffmpeg_mib"], 1),
            "pictures": probing.probe(film, film.name).frames,
            "planned": round((count * each_s - (count - 1) * FADE_S) * FPS),
            "drift_ms": round(drift_ms(film), 1),
        }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--scenes", default="4,16,64", help="of the films whose memory is compared")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    def tell(words: str) -> None:
        sys.stderr.write(words + "\n")

    with tempfile.TemporaryDirectory(prefix="studio-") as name:
        folder = Path(name)
        files = clips(folder, 8)
        found = {
            "pairs": pairs(folder, files, options.pairs, tell) if options.pairs else [],
            "growth": growth(folder, files, [int(n) for n in options.scenes.split(",") if n], tell),
        }
    text = json.dumps(found, indent=1)
    if options.json:
        options.json.write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
