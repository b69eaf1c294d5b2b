"""Engines that are not well, as a segment meets them: what is said, what is told of the endpoint, and that
nothing is asked or paid for twice. Real servers on loopback."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from dripping_server import DRIPS, dripping
from toon_scene import MoodyComfy, SegmentBench, said

from conductor.base.errors import BadInput, BadOutput, EndpointUnavailable, JobError, RateLimited, ServerError
from conductor.base.settings.endpoint_settings import Endpoint
from workers.engines import server
from workflows.toon.comfy_server import ComfyReply


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
    with pytest.raises(EndpointUnavailable) as e:
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
    with pytest.raises(EndpointUnavailable, match="did not answer in time"):
        desk.draw()
    let_go.set()
    comfy.leave()
    with pytest.raises(EndpointUnavailable, match="did not answer"):
        desk.draw()
    assert desk.told[-1].trouble == "down"


@pytest.mark.parametrize("head", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_is_left_when_its_time_is_up_and_counts_as_failing(
    desk: SegmentBench, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(server, "HEALTH_S", 0.5)
    began = time.monotonic()
    with dripping(head) as port:
        desk.use(comfy=Endpoint(kind="comfyui", base_url=f"http://127.0.0.1:{port}"))
        with pytest.raises(
            EndpointUnavailable, match=r"did not answer: it did not answer in time|sends too slowly"
        ):
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
    with pytest.raises(EndpointUnavailable, match="did not answer"):
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
    with pytest.raises(EndpointUnavailable, match="has not come to it in time: 9 go before it"):
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
