"""What the proof costs: `conductor verify` beside `sha256sum` over the same films, where they were read back
beside the run, where all are read (`--again`), and with `--deep`.

    python benchmarks/proof.py [--films 48] [--seconds 60] [--rounds 5] [--cold] [--json FILE]

Films as workers leave them: published, with receipts that hold what was counted before. In turns, from the
page cache (`--cold`: from the disk), by the clock and by the processor. Goal: at most 1.15 times what
sha256sum takes, in as many processes as there are cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import media
from beside import CommandTime, row, timed
from verify_scene import VerifyScene

from conductor.model.media import MediaFact
from conductor.record import manifest
from conductor.verify.media_facts import count
from conductor.verify.read_back import SETTLE_S, ReadBack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--films", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="from the disk")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = published(Path(folder), asked.films, asked.seconds)
        took = read_back(scene)
        films = [str(scene.file(spec.writes[0].path)) for spec in scene.specs]
        names = "\n".join(films).encode()
        size = sum(Path(film).stat().st_size for film in films)
        verify = [sys.executable, "-m", "conductor", "verify", str(scene.manifest)]
        cores = str(os.cpu_count() or 1)
        ways = {
            "sha256sum": ["xargs", "-P", cores, "-n", "4", "sha256sum"],
            "conductor verify, read back": verify,
            "conductor verify --again": [*verify, "--again"],
            "conductor verify --deep": [*verify, "--deep"],
        }
        taken: dict[str, list[CommandTime]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, command in ways.items():
                if asked.cold:
                    forget(films)
                taken[name].append(timed(command, scene.settings.project, names))
    rows = [row(name, runs, taken["sha256sum"], "sha256sum") for name, runs in taken.items()]
    print(f"{asked.films} films, {size / 1e6:.0f} MB, read back in {took:.2f} s")
    for each in rows:
        print("  ".join(f"{key} {value}" for key, value in each.items()))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(rows))


def published(folder: Path, films: int, seconds: float) -> VerifyScene:
    """One film, each copy with other bytes behind it: what is read is the same, what it hashes to is not."""
    scene = VerifyScene(folder)
    film = media.clip(folder / "film.mp4", seconds=seconds, size="1280x720").read_bytes()
    for n in range(films):
        spec = scene.job(n, "film.mp4", workflow="films", expect={"duration_s": seconds})
        # An atom that readers pass over, behind all others.
        content = film + (16).to_bytes(4) + b"free" + hashlib.sha256(str(n).encode()).digest()[:8]
        (copy := folder / "counted.mp4").write_bytes(content)
        fact: MediaFact = count(copy, lambda: None)
        assert fact.fault is None, fact.fault
        scene.done(spec, content, ended_at=time.time(), media={spec.writes[0].path: fact})
    manifest.write(scene.manifest, scene.specs)
    return scene


def read_back(scene: VerifyScene) -> float:
    """As the leader does it beside a run; seconds for it, without the wait until files have settled."""
    with ReadBack(scene.settings.layout) as reading:
        reading.turn()
        time.sleep(SETTLE_S)
        begun = time.monotonic()
        while reading.turn():
            pass
        return time.monotonic() - begun


def forget(films: Iterable[str]) -> None:
    """Out of the page cache."""
    for film in films:
        with Path(film).open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
