"""A cartoon of eight scenes by a server of its own, which is gone when it has made three of them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conductor.base.settings.settings import CONFIG_NAME
from workflows.toon.comfy_server import GRAPH, ComfyServer

LEAVES_AFTER = 3
#: (text, background, characters).
STORY: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Once there was a job", "skyblue", ("tomato",)),
    ("It wanted a picture", "gold", ("tomato",)),
    ("A server drew it one", "orchid", ("tomato", "steelblue")),
    ("Then the server fell asleep", "slategray", ("steelblue",)),
    ("Nobody answered any more", "midnightblue", ("tomato",)),
    ("So ffmpeg took a pencil", "seagreen", ("tomato", "orange")),
    ("and drew the rest of the night", "teal", ("orange",)),
    ("In the morning it was done", "coral", ("tomato", "steelblue", "orange")),
)


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    server = ComfyServer(leaves_after=LEAVES_AFTER)
    try:
        settings = folder / CONFIG_NAME
        mark = settings.read_text(encoding="utf-8").splitlines()[0]
        endpoint = f'[endpoints.comfy]\nkind = "comfyui"\nbase_url = "{server.url}"\n'
        # One picture at a time, as a card draws them.
        counter = "[counters.comfy]\nlimit = 1\n"
        settings.write_text(f"{mark}\n{endpoint}\n{counter}", encoding="utf-8")
        # Written once: a new date would make the scenes anew.
        for name, content in (("graph.json", GRAPH), ("story.json", script())):
            if not (folder / name).exists():
                (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
        yield [str(folder / "story.json")]
    finally:
        server.leave()


def script() -> dict[str, Any]:
    scenes = [
        {"text": text, "background": ground, "seconds": 1.5, "characters": [{"color": c} for c in who]}
        for text, ground, who in STORY
    ]
    return {"width": 320, "height": 180, "fps": 12, "graph": "graph.json", "scenes": scenes}
