"""A segment at its desk, and engines of any mood: real servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from task_bench import Bench

from conductor.base.settings.endpoint_settings import Endpoint
from conductor.model.calls import Call
from conductor.model.review import ReviewAsked
from conductor.model.spec import EngineNeed, Needs, RateNeed
from workers.tasks import toon_segment
from workflows.toon.comfy_server import GRAPH, ComfyReply, ComfyServer

ARGS: dict[str, Any] = {
    "frames": 12,
    "samples": 48_000,
    "fps": 12,
    "width": 160,
    "height": 90,
    "prompt": "a dog",
}
WRITE = "published:toon/x.mkv"


class MoodyComfy(ComfyServer):
    """`moods`: part of a path → what is answered there in place of the good answer."""

    def __init__(self) -> None:
        self.moods: dict[str, Callable[[], ComfyReply]] = {}
        super().__init__()

    def answer(self, method: str, path: str, body: bytes) -> ComfyReply:
        for part, mood in self.moods.items():
            if part in f"{method} {path}":
                return mood()
        return super().answer(method, path, body)


class FilmApi(MoodyComfy):
    """`bought`: idempotency key → id, in their order. What it sends is `film`."""

    def __init__(self, film: Path) -> None:
        self.bought: list[str] = []
        self.film = film
        super().__init__()

    def answer(self, method: str, path: str, body: bytes) -> ComfyReply:
        for part, mood in self.moods.items():
            if part in f"{method} {path}":
                return mood()
        if method == "POST":
            self.bought.append(json.loads(body)["seconds"])
            return said({"id": f"video_{len(self.bought)}", "status": "queued"})
        if path.endswith("/content"):
            return ComfyReply(200, self.film.read_bytes(), "video/x-matroska")
        return said({"id": path.rpartition("/")[2], "status": "completed"})


def said(value: Any, status: int = 200) -> ComfyReply:
    return ComfyReply(status, json.dumps(value).encode())


class SegmentBench:
    """A bench with two engines, and what was told of them."""

    def __init__(self, folder: Path, comfy: ComfyServer) -> None:
        self.comfy = comfy
        self.bench = Bench(folder)
        graph = self.bench.inputs / "graph.json"
        graph.write_text(json.dumps(GRAPH))
        self.args = ARGS | {"graph": str(graph)}
        self.told: list[Call] = []
        self.asked: ReviewAsked | None = None
        self.use(comfy=Endpoint(kind="comfyui", base_url=comfy.url))

    def use(self, **endpoints: Endpoint) -> None:
        settings = self.bench.settings
        self.bench.settings = msgspec.structs.replace(
            settings,
            endpoints={**settings.endpoints, **endpoints},
            inputs=(*settings.inputs, self.bench.inputs),
        )

    def draw(
        self, engine: str = "comfy", timeout_s: float = 60.0, came: Path | None = None, **args: Any
    ) -> dict[str, Any]:
        """`came`: where in truth lands what is fetched."""
        self.bench.attempt += 1
        names = ("comfy", "film_api", "templates")
        engines = tuple(EngineNeed(name=name, rates={name: RateNeed()}) for name in names)
        ctx = self.bench.context(
            args=self.args,
            reads=[self.args["graph"]],
            writes=[WRITE],
            needs=Needs(cpu=1, engines=engines),
            task="toon.segment",
            engine=engine,
            timeout_s=timeout_s,
            token=f"{self.bench.attempt:08x}",
        )
        self.asked = None
        if came is not None:
            (ctx.scratch / "came").symlink_to(came)
        try:
            return toon_segment.run({**self.args, **args}, ctx) or {}
        finally:
            self.told = list(ctx.calls)
            self.asked = ctx.review
