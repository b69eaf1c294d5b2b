"""Engines that are not well, as a segment meets them: what is said, what is told of the endpoint, and that
nothing is asked or paid for twice. Real servers on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, BadOutput, EndpointShut, JobError, RateLimited, ServerError
from conductor.base.settings.sections import Endpoint
from conductor.model.calls import Call
from conductor.model.review import ReviewAsked
from conductor.model.spec import EngineNeed, Needs, RateNeed
from workers.engines import kept_request, server
from workers.media import picture_faults
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
        self.bench.settings = settings.model_copy(
            update={
                "endpoints": {**settings.endpoints, **endpoints},
                "inputs": (*settings.inputs, self.bench.inputs),
            }
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


@pytest.fixture
def comfy() -> Iterator[MoodyComfy]:
    server = MoodyComfy()
    yield server
    server.leave()


@pytest.fixture
def desk(tmp_path: Path, comfy: MoodyComfy) -> SegmentBench:
    return SegmentBench(tmp_path, comfy)


def test_a_picture_of_the_graph_becomes_a_piece_that_moves(desk: SegmentBench) -> None:
    result = desk.draw()
    assert (result["engine"], result["preferred_engine"], result["frames"]) == ("comfy", "comfy", 12)
    assert result["frozen_s"] == 0 and result["blank_s"] == 0
    (graph,) = desk.comfy.prompts.values()
    assert graph["6"]["inputs"]["text"] == "a dog" and graph["3"]["inputs"]["seed"] == 0
    assert [(call.outcome, call.trouble) for call in desk.told] == [("ok", None)]


@pytest.mark.parametrize(
    ("mood", "trouble", "words"),
    [
        (said({"error": "boom"}, 500), "busy", "comfy answered 500: boom"),
        (ComfyReply(200, b"<html>Sign in</html>", "text/html"), "refuses", "check its base_url (Sign in)"),
        (said({"error": "bad key"}, 401), "refuses", "does not accept the key"),
        (said([1, 2]), "refuses", "no answer of its kind"),
        (said({"hello": 1}), "refuses", "is no ComfyUI"),
        (said({"error": "overloaded"}, 503), "busy", "overloaded"),
        (ComfyReply(200, b"x" * (9 << 20)), "busy", "more than 8.0 MiB"),
    ],
    ids=["500", "html", "401", "list", "another", "503", "huge"],
)
def test_whether_it_is_well_costs_the_job_nothing(
    desk: SegmentBench, comfy: MoodyComfy, mood: ComfyReply, trouble: str, words: str
) -> None:
    comfy.moods["system_stats"] = lambda: mood
    with pytest.raises(EndpointShut) as e:
        desk.draw()
    assert words in str(e.value) and desk.told[-1].trouble == trouble and not comfy.prompts


def test_a_server_that_is_gone_hangs_or_drips_is_down(
    desk: SegmentBench, comfy: MoodyComfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEALTH_S", 0.4)
    let_go = threading.Event()

    def hang() -> ComfyReply:
        let_go.wait(10)
        return said({})

    comfy.moods["system_stats"] = hang
    with pytest.raises(EndpointShut, match="did not answer in time"):
        desk.draw()
    let_go.set()
    comfy.leave()
    with pytest.raises(EndpointShut, match="did not answer"):
        desk.draw()
    assert desk.told[-1].trouble == "down"


def dripping(head: bytes) -> Iterator[int]:
    """A server that says `head` at once, and from then on a byte a tenth of a second; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(head)
            while not over.wait(0.1):
                connection.sendall(b"x")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    over.set()
    listening.close()
    thread.join()


DRIPS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{",
    "body without a length": b"HTTP/1.1 200 OK\r\n\r\n{",
}


@pytest.mark.parametrize("head", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_is_left_when_its_time_is_up_and_counts_as_failing(
    desk: SegmentBench, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(server, "HEALTH_S", 0.5)
    began = time.monotonic()
    with contextmanager(dripping)(head) as port:
        desk.use(comfy=Endpoint(kind="comfyui", base_url=f"http://127.0.0.1:{port}"))
        with pytest.raises(EndpointShut, match=r"did not answer: it did not answer in time|sends too slowly"):
            desk.draw()
    assert time.monotonic() - began < 20, "each byte gave it time anew"
    assert [(call.outcome, call.trouble) for call in desk.told] == [("failed", "down")]


def test_a_prompt_whose_answer_was_lost_is_found_again_and_not_asked_for_twice(
    desk: SegmentBench, comfy: MoodyComfy
) -> None:
    plain = comfy.prompt

    def taken(said: dict[str, Any]) -> ComfyReply:
        plain(said)
        raise ConnectionResetError

    comfy.prompt = taken  # type: ignore[method-assign]
    with pytest.raises(EndpointShut, match="did not answer"):
        desk.draw()
    comfy.prompt = plain  # type: ignore[method-assign]
    assert desk.draw()["engine"] == "comfy"
    assert len(comfy.prompts) == 1 and comfy.paths.count("POST /prompt") == 1


def test_a_429_closes_its_gate_until_it_says(desk: SegmentBench, comfy: MoodyComfy) -> None:
    comfy.moods["POST /prompt"] = lambda: said({"error": "slow down, try again in 7s"}, 429)
    with pytest.raises(RateLimited) as e:
        desk.draw()
    assert e.value.retry_after_s == pytest.approx(7, abs=1) and desk.told[-1].outcome == "refused"


def test_a_graph_that_is_refused_is_the_jobs_own(desk: SegmentBench, comfy: MoodyComfy) -> None:
    comfy.moods["POST /prompt"] = lambda: said({"error": {"message": "no such node: Foo"}}, 400)
    with pytest.raises(BadInput, match="no such node: Foo"):
        desk.draw()


def test_what_was_asked_for_before_a_kill_is_found_again(desk: SegmentBench, comfy: MoodyComfy) -> None:
    comfy.moods["/view"] = lambda: said({"error": "boom"}, 500)
    with pytest.raises(ServerError):
        desk.draw()
    del comfy.moods["/view"]
    assert desk.draw()["engine"] == "comfy"
    assert len(comfy.prompts) == 1 and comfy.paths.count("POST /prompt") == 1


def test_one_that_names_requests_itself_is_asked_once_too(desk: SegmentBench, comfy: MoodyComfy) -> None:
    plain = comfy.prompt
    comfy.prompt = lambda said: plain({"prompt": said["prompt"]})  # type: ignore[method-assign]
    comfy.moods["/view"] = lambda: said({"error": "boom"}, 500)
    with pytest.raises(ServerError):
        desk.draw()
    del comfy.moods["/view"]
    desk.draw()
    assert len(comfy.prompts) == 1


@pytest.mark.parametrize(
    "answer", [{"prompt_id": 7}, {}, {"prompt_id": "../../etc"}, {"prompt_id": "a" * 999}]
)
def test_a_name_that_is_none_is_not_asked_for(desk: SegmentBench, comfy: MoodyComfy, answer: Any) -> None:
    comfy.moods["POST /prompt"] = lambda: said(answer)
    with pytest.raises(ServerError, match="prompt_id"):
        desk.draw()


def test_an_endless_queue_is_left(desk: SegmentBench, comfy: MoodyComfy) -> None:
    comfy.moods["/history"] = lambda: said({})
    comfy.moods["GET /queue"] = lambda: said({"queue_running": [], "queue_pending": [[n, n] for n in range(9)]
                                              + [[9, next(iter(comfy.prompts), "")]]})  # fmt: skip
    with pytest.raises(EndpointShut, match="has not come to it in time: 9 go before it"):
        desk.draw(timeout_s=2.0)
    assert "POST /queue" in comfy.paths and desk.told[-1].trouble == "busy"


@pytest.mark.parametrize(
    "file",
    [
        {"filename": "../../../etc/passwd", "type": "output"},
        {"filename": "a.png", "subfolder": "../..", "type": "output"},
        {"filename": "/etc/passwd"},
        {"filename": "..\\x.png"},
    ],
)
def test_a_file_name_that_leads_out_is_not_fetched(
    desk: SegmentBench, comfy: MoodyComfy, file: dict[str, str]
) -> None:
    def history() -> ComfyReply:
        (prompt_id,) = comfy.prompts or ("none",)
        return said({prompt_id: {"outputs": {"9": {"images": [file]}}}} if comfy.prompts else {})

    comfy.moods["/history"] = history
    with pytest.raises(JobError, match="outside of its folder"):
        desk.draw()
    assert "GET /view" not in comfy.paths


def test_what_it_could_not_make_and_what_is_no_picture_are_said_and_asked_for_anew(
    desk: SegmentBench, comfy: MoodyComfy
) -> None:
    comfy.moods["/view"] = lambda: ComfyReply(200, b"not a film", "video/mp4")
    with pytest.raises(ServerError, match="what comfy sent is not a video"):
        desk.draw()
    del comfy.moods["/view"]
    desk.draw()
    assert len(comfy.prompts) == 2


def test_a_picture_that_shows_nothing_is_of_no_use(desk: SegmentBench, comfy: MoodyComfy) -> None:
    from workflows.toon import comfy_server

    black = comfy_server.png(16, 9, bytes(9 * (1 + 16 * 3)))
    comfy.moods["/view"] = lambda: ComfyReply(200, black, "image/png")
    with pytest.raises(BadOutput, match="it shows nothing for 1"):
        desk.draw()


# ── an API that is paid ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def api(tmp_path: Path, desk: SegmentBench) -> Iterator[FilmApi]:
    desk.draw("templates", frames=24, samples=96_000)
    film = next(tmp_path.rglob("x.mkv"))
    copy = desk.bench.inputs / "film.mkv"
    copy.write_bytes(film.read_bytes())
    found = FilmApi(copy)
    desk.use(film_api=Endpoint(kind="video", base_url=f"{found.url}/v1", usd_per_second=0.25))
    yield found
    found.leave()


def test_what_was_paid_for_is_fetched_and_not_bought_again(desk: SegmentBench, api: FilmApi) -> None:
    api.moods["GET /v1/videos"] = lambda: said({"error": "overloaded"}, 503)
    with pytest.raises(EndpointShut) as e:
        desk.draw("film_api")
    assert e.value.stays_with == "film_api"
    assert [(call.outcome, call.usd, call.trouble) for call in desk.told] == [
        ("ok", 0.25, None), ("failed", None, "busy")]  # fmt: skip
    with pytest.raises(EndpointShut) as e:
        desk.draw("templates")
    assert (e.value.stays_with, e.value.rate_key, desk.told) == ("film_api", "", [])
    api.moods.clear()
    assert desk.draw("film_api")["engine"] == "film_api"
    assert api.bought == ["1"] and desk.told[-1].usd == 0.0


def test_what_may_have_been_sold_is_asked_for_there_again_under_the_same_key(
    desk: SegmentBench, api: FilmApi
) -> None:
    def taken() -> ComfyReply:
        raise ConnectionResetError

    api.moods["POST /v1/videos"] = taken
    with pytest.raises(EndpointShut, match="may have sold it all the same") as e:
        desk.draw("film_api")
    assert e.value.stays_with == "film_api"
    del api.moods["POST /v1/videos"]
    assert desk.draw("film_api")["engine"] == "film_api"
    first, second = api.keys
    assert first == second, "an API that takes keys sells it once"


def test_a_disk_that_fills_up_while_it_is_fetched_costs_nothing_more(
    desk: SegmentBench, api: FilmApi
) -> None:
    with pytest.raises(OSError, match="No space left"):
        desk.draw("film_api", came=Path("/dev/full"))
    assert desk.draw("film_api")["engine"] == "film_api"
    assert api.bought == ["1"]


def test_a_key_that_is_missing_is_one_sentence_and_nothing_is_sent(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FILM_KEY", raising=False)
    desk.use(film_api=Endpoint(kind="video", base_url=f"{api.url}/v1", api_key_env="FILM_KEY"))
    with pytest.raises(EndpointShut) as e:
        desk.draw("film_api")
    assert str(e.value) == "the key of endpoint film_api is missing: set FILM_KEY in the workers' environment"
    assert desk.told[-1].trouble == "refuses" and not api.paths and not api.bought


def test_what_was_paid_for_and_is_too_short_is_not_bought_a_second_time(
    desk: SegmentBench, api: FilmApi
) -> None:
    with pytest.raises(BadOutput, match="s long, the scene 4"):
        desk.draw("film_api", frames=48, samples=192_000)
    with pytest.raises(BadOutput):
        desk.draw("film_api", frames=48, samples=192_000)
    assert api.bought == ["4"]


def test_what_was_paid_for_and_is_doubtful_a_person_looks_at(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_faults, "FLAT", 500.0)
    desk.draw("film_api")
    assert desk.asked is not None and "it shows nothing" in desk.asked.items[0].words
    assert api.bought == ["1"]


def test_a_full_scratch_is_found_before_anything_is_paid(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_request, "save", full)
    with pytest.raises(OSError, match="No space"):
        desk.draw("film_api")
    assert not api.bought
