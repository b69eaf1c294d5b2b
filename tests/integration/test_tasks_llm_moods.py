"""llm.annotate against servers that refuse parts of the request, hide errors, move away, or answer in odd
forms.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from moody_server import Mood, MoodyServer, Said, good, refusing, saying
from task_bench import Bench

from conductor.base.errors import BadInput, EndpointUnavailable, JobError, RateLimited, ServerError
from conductor.base.settings.endpoint_settings import Endpoint
from workers.tasks import llm_annotate

WRITE = "scratch:answers.jsonl"
ITEMS = [{"id": "a", "text": "xx"}]
KEY = "sesame-1234"


def bench_for(folder: Path, server: MoodyServer, **endpoint: Any) -> Bench:
    (folder / "project").mkdir(parents=True, exist_ok=True)
    settings = {"base_url": server.base_url, "model": "m-1", **endpoint}
    return Bench(folder / "project", endpoints={"cloud": Endpoint(**settings)})


def annotate(bench: Bench, **args: Any) -> dict[str, Any]:
    return bench.run(
        llm_annotate.run, {"endpoint": "cloud", "items": ITEMS, "instruction": "Say.", **args}, writes=[WRITE]
    )


def annotation(bench: Bench) -> Any:
    return json.loads(bench.made(WRITE).read_text())["annotation"]


def reasons(request: dict[str, Any], number: int) -> Said:
    """As models that reason do."""
    if "max_tokens" in request:
        words = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead."
        )
        return refusing(400, words, "unsupported_parameter")(request, number)
    if request.get("temperature", 1) != 1:
        words = (
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) "
            "is supported."
        )
        return refusing(400, words, "unsupported_value")(request, number)
    return good(request)


def test_what_a_model_refuses_is_left_out_once_and_remembered(tmp_path: Path):
    with MoodyServer(reasons) as server:
        bench = bench_for(tmp_path, server)
        for _ in range(3):
            annotate(bench, max_tokens=77)
        asked = [sorted(request.keys() - {"model", "messages"}) for request in server.requests]
        assert asked == [
            ["max_tokens", "temperature"],
            ["max_completion_tokens", "temperature"],
            *[["max_completion_tokens"]] * 3,
        ]
        assert server.requests[-1]["max_completion_tokens"] == 77
        # Another model of the same server is another matter.
        other = msgspec.structs.replace(bench.settings.endpoints["cloud"], model="m-2")
        bench.settings = msgspec.structs.replace(bench.settings, endpoints={"cloud": other})
        annotate(bench)
        assert len(server.requests) == 8


def test_each_call_that_was_refused_is_told_of(tmp_path: Path):
    with MoodyServer(reasons) as server:
        bench = bench_for(tmp_path, server)
        ctx = bench.context(args={}, writes=[WRITE])
        llm_annotate.run({"endpoint": "cloud", "items": ITEMS, "instruction": "Say."}, ctx)
    assert [(call.outcome, call.trouble) for call in ctx.calls] == [
        ("failed", None),
        ("failed", None),
        ("ok", None),
    ]


@pytest.mark.parametrize(
    ("status", "body", "lacks"),
    [
        (400, {"error": {"message": "UnsupportedParamsError: m-1 does not support: "
                                    "['temperature']"}}, "temperature"),
        (422, {"detail": [{"loc": ["body", "temperature"], "msg": "extra fields "
                                                                  "not permitted"}]}, "temperature"),
        (400, {"error": {"message": "System role not supported"}}, "system"),
        (400, {"error": {"message": "Conversation roles must alternate "
                                    "user/assistant/user/assistant/..."}}, "system"),
    ],
)  # fmt: skip
def test_other_servers_words_for_it(tmp_path: Path, status: int, body: Any, lacks: str):
    def mood(request: dict[str, Any], number: int) -> Said:
        has = lacks in request or any(message["role"] == lacks for message in request["messages"])
        return Said(status, body) if has else good(request)

    with MoodyServer(mood) as server:
        annotate(bench_for(tmp_path, server))
        assert len(server.requests) == 2


def test_a_model_that_refuses_whatever_it_is_told_is_not_asked_for_ever(tmp_path: Path):
    def mood(request: dict[str, Any], number: int) -> Said:
        return refusing(400, "Unsupported parameter: 'temperature'", "unsupported_parameter")(request, number)

    with MoodyServer(mood) as server:
        with pytest.raises(BadInput, match="Unsupported parameter"):
            annotate(bench_for(tmp_path, server))
        assert len(server.requests) == 2


def test_members_of_the_request_can_be_set_and_left_out(tmp_path: Path):
    with MoodyServer(lambda request, number: good(request)) as server:
        annotate(
            bench_for(
                tmp_path,
                server,
                parameters={"temperature": 1, "reasoning_effort": "low"},
                without=("max_tokens",),
            )
        )
        assert {k: v for k, v in server.requests[0].items() if k != "messages"} == {
            "model": "m-1", "temperature": 1, "reasoning_effort": "low"}  # fmt: skip


def test_what_the_user_set_is_not_dropped_silently(tmp_path: Path):
    with MoodyServer(
        refusing(400, "Unsupported parameter: 'reasoning_effort'", "unsupported_parameter")
    ) as server:
        with pytest.raises(BadInput, match="reasoning_effort"):
            annotate(bench_for(tmp_path, server, parameters={"reasoning_effort": "low"}))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"annotations": [{"id": "a", "annotation": "fine"}]},
        {"a": "fine"},
        {"annotations": {"a": "fine", "b": "of nobody"}},
    ],
)
def test_another_form_that_says_the_same_is_used(tmp_path: Path, content: Any):
    with MoodyServer(saying(json.dumps(content))) as server:
        bench = bench_for(tmp_path, server)
        annotate(bench)
        assert annotation(bench) == "fine"


def test_half_a_letter_in_an_answer_does_not_cost_the_job(tmp_path: Path):
    with MoodyServer(saying('{"annotations": {"a": "\\ud83d broken"}}')) as server:
        bench = bench_for(tmp_path, server)
        annotate(bench)
        assert annotation(bench) == "\ufffd broken"


def test_an_answer_without_counts_and_with_odd_ones(tmp_path: Path):
    def mood(request: dict[str, Any], number: int) -> Said:
        return good(request, usage=None if number == 1 else {"prompt_tokens": 7.0, "completion_tokens": "3"})

    with MoodyServer(mood) as server:
        bench = bench_for(tmp_path, server)
        assert annotate(bench)["tokens"] == {"prompt": None, "completion": None}
        assert annotate(bench)["tokens"] == {"prompt": 7, "completion": 3}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (
            {"error": {"message": "Provider returned error", "code": 502}},
            EndpointUnavailable,
            "200 with an error in it: Provider",
        ),
        ({"error": {"message": "slow down", "code": 429}}, RateLimited, "slow down"),
        ({"error": {"message": "context_length exceeded", "code": 400}}, BadInput, "context_length"),
        ({"error": "boom"}, ServerError, "boom"),
        (
            {"error": {"message": "Insufficient credits", "code": 402}},
            EndpointUnavailable,
            "no credit.*Insufficient credits",
        ),
    ],
)
def test_an_error_inside_of_a_200(tmp_path: Path, body: Any, kind: type[JobError], words: str):
    with MoodyServer(lambda request, number: Said(200, body)) as server, pytest.raises(kind, match=words):
        annotate(bench_for(tmp_path, server))


def test_a_web_page_is_the_endpoints_matter(tmp_path: Path):
    page = Said(200, b"<html><body>Sign in to the network</body></html>", {"Content-Type": "text/html"})
    said = r"a web page and no answer: check its base_url.*Sign in"
    with MoodyServer(lambda request, number: page) as server, pytest.raises(EndpointUnavailable, match=said):
        annotate(bench_for(tmp_path, server))


# ── redirects ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_to_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
):
    monkeypatch.setenv("CLOUD_KEY", KEY)
    with MoodyServer(lambda request, number: good(request)) as other:
        away = f"{other.base_url}/chat/completions?key={KEY}"
        moved = MoodyServer(lambda request, number: Said(status, b"", {"Location": away}))
        said = r"redirects to http://127\.0\.0\.1:\d+/v1/chat/completions"
        with moved as server, pytest.raises(EndpointUnavailable, match=said) as caught:
            annotate(bench_for(tmp_path, server, api_key_env="CLOUD_KEY"))
        assert other.requests == [] and KEY not in str(caught.value)


def test_a_redirect_within_the_same_server_is_followed_and_no_circle(tmp_path: Path):
    def mood(request: dict[str, Any], number: int) -> Said:
        return Said(307, b"", {"Location": "/v2/chat/completions/"}) if number == 1 else good(request)

    with MoodyServer(mood) as server:
        annotate(bench_for(tmp_path, server))
        assert server.paths == ["/v1/chat/completions", "/v2/chat/completions"]
    with MoodyServer(lambda request, number: Said(307, b"", {"Location": "/v1/chat/completions"})) as server:
        with pytest.raises(EndpointUnavailable, match="redirects in a circle"):
            annotate(bench_for(tmp_path / "b", server))
        assert len(server.requests) <= 5


def test_a_query_in_the_address_goes_along(tmp_path: Path):
    with MoodyServer(lambda request, number: good(request)) as server:
        annotate(bench_for(tmp_path, server, base_url=f"{server.base_url}?api-version=2024-06-01"))
        assert server.paths == ["/v1/chat/completions?api-version=2024-06-01"]


@pytest.mark.parametrize("address", ["localhost:99/v1", "http://[::1", "", "ftp://127.0.0.1/v1"])
def test_what_is_no_address_is_said(tmp_path: Path, address: str):
    with pytest.raises(EndpointUnavailable, match=r"base_url is no address"):
        annotate(Bench(tmp_path, endpoints={"cloud": Endpoint(base_url=address)}))


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\ufeff{}", "  {}\t"])
def test_what_surrounds_a_key_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: str):
    monkeypatch.setenv("CLOUD_KEY", around.format(KEY))
    with MoodyServer(lambda request, number: good(request)) as server:
        annotate(bench_for(tmp_path, server, api_key_env="CLOUD_KEY"))
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("sesame\n1234", "a line break"),
        ("sesäme-1234", "beyond ASCII"),
        ("sesame\x01-12", "control"),
        ("se same", "blank"),
    ],
)
def test_a_key_that_no_header_may_hold_is_refused_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, fault: str
):
    monkeypatch.setenv("CLOUD_KEY", key)
    with MoodyServer(lambda request, number: good(request)) as server:
        with pytest.raises(
            EndpointUnavailable, match=rf"cannot be sent: \$CLOUD_KEY holds .*{fault}"
        ) as caught:
            annotate(bench_for(tmp_path, server, api_key_env="CLOUD_KEY"))
        assert server.requests == [] and "same" not in str(caught.value)


@pytest.mark.parametrize(
    ("mood", "kind", "words"),
    [
        (refusing(429, "You have no credit "
                       "left", "insufficient_quota"), EndpointUnavailable, "You have no credit left"),
        (refusing(429, "Request too large on tokens per min (TPM)"), BadInput, "Request too large"),
        (refusing(404, 'model "m-1" not found, try '
                       'pulling it first'), EndpointUnavailable, "the model 'm-1'.*try pulling"),
        (refusing(503, "overloaded", None, {"Retry-After": "12"}), EndpointUnavailable, r"to come back in 12 "
                                                                                 r"s\): overloaded"),
        (refusing(429, "Rate limit reached. Please try "
                       "again in 11.5s."), RateLimited, "in 11.5 s: Rate limit"),
    ],
)  # fmt: skip
def test_the_servers_own_words_are_shown(tmp_path: Path, mood: Mood, kind: type[JobError], words: str):
    with MoodyServer(mood) as server:
        with pytest.raises(kind, match=words):
            annotate(bench_for(tmp_path, server))
        assert len(server.requests) == 1
