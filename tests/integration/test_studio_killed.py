"""A film whose workers are killed in a seam and in a scene: what was lost is made again, nothing else, and
the film is the one that was asked for. Who listens hears it all."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import media
import psutil
import pytest
from node_scene import Command, until
from redis import Redis

from conductor.adapters.files.receipt_log import read_receipts
from conductor.adapters.open_ledger import redis_of
from conductor.base.settings.settings import load
from workers.media import ffmpeg, probing

FPS, SCENES = 25, 3
CONFIG = """
[lanes]
gpu.workers = 0
cpu.workers = 2
[web]
is_on = false
[dashboard]
is_on = false
"""
#: An ffmpeg that waits once in a scene, and once in a seam.
SLOW = """#!/bin/sh
hold() {{
  mkdir "{holds}/$1" 2>/dev/null || return
  echo "$*" > "{holds}/$1/words"; echo $$ > "{holds}/$1/pid"; exec sleep 600
}}
case "$*" in
  *xfade*) hold seam "$@";;
  *libx264*) hold scene "$@";;
esac
exec "{ffmpeg}" "$@"
"""


class RenderListener:
    """A program that knows ids and Redis."""

    def __init__(self, client: Redis, ids: list[str]) -> None:
        self._client = client
        self._hearing: Any = client.pubsub(ignore_subscribe_messages=True)
        self._hearing.subscribe(*(f"conductor:progress:{each}" for each in ids))
        self.words: dict[str, list[dict[str, Any]]] = {each: [] for each in ids}

    def listen(self) -> None:
        while message := self._hearing.get_message(timeout=0.05):
            said = json.loads(message["data"])
            self.words[said["job_id"]].append(said)

    def states(self, job_id: str) -> list[str]:
        return [said["state"] for said in self.words[job_id]]

    def status(self, job_id: str) -> dict[str, Any]:
        return json.loads(self._client.get(f"conductor:status:{job_id}") or "{}")  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conductor.toml").write_text(CONFIG)
    as_said = "format=yuv420p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    for n, source in enumerate(("testsrc2", "smptebars", "testsrc")):
        picture = ["-f", "lavfi", "-i", f"{source}=s=320x180:r={FPS}:d=2,{as_said}"]
        media.made(tmp_path / f"{n}.mkv", *picture, *media.tone(2), "-c:v", "ffv1", "-c:a", "flac")
    scenes = [{"file": f"{n}.mkv", "out_s": 2} for n in range(SCENES)]
    board = {"width": 320, "height": 180, "fps": FPS, "crf": 8, "scenes": scenes, "loudness": -20}
    (tmp_path / "board.json").write_text(
        json.dumps({**board, "transition": {"name": "fade", "seconds": 0.6}})
    )
    return tmp_path


def test_a_film_comes_through_killed_workers_and_who_listens_hears_it(folder: Path):
    holds, slow = folder / "holds", folder / "ffmpeg"
    holds.mkdir()
    slow.write_text(SLOW.format(holds=holds, ffmpeg=ffmpeg.binary()))
    slow.chmod(0o755)
    run = Command(
        load(folder), "run", "studio", "render", "board.json", env={"IMAGEIO_FFMPEG_EXE": str(slow)}
    )
    with ExitStack() as stack:
        stack.callback(run.close)
        manifest = folder / "manifests" / "studio_render_board.jsonl"
        until(manifest.exists)
        specs = [json.loads(line) for line in until(lambda: lines_of(manifest))]
        seams = [spec["id"] for spec in specs if len(spec["args"].get("layers", ())) == 2]
        until((holds / "scene" / "pid").exists)
        client = stack.enter_context(redis_of(load(folder)))
        hearing = RenderListener(client, [spec["id"] for spec in specs])

        kill_worker_of(holds / "scene")
        until((holds / "seam" / "pid").exists)
        (held,) = (each for each in seams if each in (holds / "seam" / "words").read_text())
        until(lambda: hearing.listen() or "running" in hearing.states(held))
        kill_worker_of(holds / "seam")

        until(lambda: hearing.listen() or run.process.poll() is not None, limit_s=120)
        assert run.wait() == 0, run.said
        hearing.listen()
        done = list(read_receipts(folder / "receipts"))
        assert Counter(receipt.job_id for receipt in done) == Counter(spec["id"] for spec in specs)
        again = [receipt.job_id for receipt in done if receipt.attempt > 1]
        assert len(again) == 2 and {*again} & {*seams} == {held}, "nothing else was made again"
        for job_id, words in hearing.words.items():
            assert (words[-1]["state"], words[-1]["progress"]) == ("done", 1), words
            assert hearing.status(job_id) == words[-1]
        told = hearing.states(held)
        assert told.index("running") < told.index("waiting") < len(told) - 1
        judge(folder)


def judge(folder: Path) -> None:
    """As many pictures as asked for, which are those of one single graph, and sound to the last of them."""
    (film,) = (folder / "published" / "studio").glob("*.mp4")
    facts = probing.probe(film, film.name)
    assert facts.frames == SCENES * 50 - 2 * 15
    assert abs((facts.picture_s or 0) - (facts.sound_s or 0)) < 1 / FPS
    graph = (
        "[0:v][1:v]xfade=fade:duration=0.6:offset=1.4[a];[a][2:v]xfade=fade:duration=0.6:offset=2.8[b];"
        "[b][3:v]ssim"
    )
    inputs = [word for n in range(SCENES) for word in ("-i", str(folder / f"{n}.mkv"))]
    argv = [ffmpeg.binary(), "-hide_banner", *inputs, "-i", str(film), "-lavfi", graph, "-f", "null", "-"]
    said = subprocess.run(argv, capture_output=True, check=True, text=True).stderr
    assert float(re.findall(r"All:([0-9.]+)", said)[-1]) >= 0.99


def lines_of(manifest: Path) -> list[str]:
    return [line for line in manifest.read_text().splitlines() if '"task"' in line]


def kill_worker_of(hold: Path) -> None:
    """The worker whose ffmpeg waits there."""
    waits = psutil.Process(int(until(lambda: (hold / "pid").exists() and (hold / "pid").read_text().strip())))
    worker = next(each for each in waits.parents() if "--queue" in each.cmdline())
    worker.kill()
