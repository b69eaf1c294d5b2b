"""llm.annotate against a real HTTP server that refuses, fails and babbles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai_server import Babble, OpenAIServer
from task_bench import Bench

from conductor.base.errors import BadInput, EndpointUnavailable, JobError, RateLimited, ServerError
from conductor.base.settings.endpoint_settings import Endpoint
from workers.tasks import llm_annotate

WRITE = "scratch:answers.jsonl"
ITEMS = [{"id": f"row-{n}", "text": "x" * n} for n in range(1, 4)]


def bench_for(folder: Path, server: OpenAIServer, key_env: str | None = None) -> Bench:
    return Bench(
        folder, endpoints={"cloud": Endpoint(base_url=server.base_url, model="m-1", api_key_env=key_env)}
    )


def annotate(bench: Bench, **args: Any) -> dict[str, Any]:
    given = {"endpoint": "cloud", "items": ITEMS, "instruction": "Count.", **args}
    return bench.run(llm_annotate.run, given, writes=[WRITE])


def test_every_item_is_annotated_in_one_request(tmp_path: Path):
    with OpenAIServer(requests_per_min=30) as server:
        bench = bench_for(tmp_path, server)
        result = annotate(bench, max_tokens=77)
    lines = [json.loads(line) for line in bench.made(WRITE).read_text().splitlines()]
    assert lines == [{"id": f"row-{n}", "annotation": f"{n} characters"} for n in range(1, 4)]
    assert (server.served, server.requests[0]["model"], server.requests[0]["max_tokens"]) == (1, "m-1", 77)
    assert (result["items"], result["model"], result["budget"]["remaining_requests"]) == (3, "m-1", 29)
    assert result["tokens"]["prompt"] > 0
    assert result["tokens"]["completion"] > 0


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_429_is_asked_once_and_says_when_to_come_back(tmp_path: Path, form: Any):
    with OpenAIServer(requests_per_min=1, window_s=30, retry_after=form) as server:
        bench = bench_for(tmp_path, server)
        annotate(bench)
        with pytest.raises(RateLimited) as caught:
            annotate(bench)
    assert (server.served, server.refused) == (1, 1)
    assert caught.value.rate_key == "cloud"
    assert 27 <= caught.value.retry_after_s <= 31


@pytest.mark.parametrize("status", [500, 504, 408])
def test_a_server_in_trouble_is_asked_once_and_the_job_may_be_retried(tmp_path: Path, status: int):
    with OpenAIServer(fail_first=1, fail_status=status) as server:
        bench = bench_for(tmp_path, server)
        with pytest.raises(ServerError, match=f"cloud answered {status}"):
            annotate(bench)
        assert server.failed == 1
        assert annotate(bench)["items"] == 3


def test_nobody_there_is_the_endpoints_matter(tmp_path: Path):
    with OpenAIServer() as server:
        bench = bench_for(tmp_path, server)
    with pytest.raises(EndpointUnavailable, match=r"cloud at 127\.0\.0\.1:\d+ did not answer"):
        annotate(bench)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not json", "no chat completion"),
        ("prose", "did not answer in the form"),
        ("half", "left out 1 of 3 items, the first is 'row-3'"),
        ("cut off", "cut off at max_tokens"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_task_error(tmp_path: Path, kind: Babble, words: str):
    with OpenAIServer(babble_first=1, babble=kind) as server:
        with pytest.raises(JobError, match=words) as caught:
            annotate(bench_for(tmp_path, server))
        assert caught.value.cause == "task_error"
        assert server.babbled == 1


def test_the_key_comes_from_the_environment_and_stays_out_of_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with OpenAIServer(api_key="sesame-1234") as server:
        bench = bench_for(tmp_path, server, "CLOUD_KEY")
        with pytest.raises(EndpointUnavailable, match="set CLOUD_KEY"):
            annotate(bench)
        monkeypatch.setenv("CLOUD_KEY", "wrong-9876")
        with pytest.raises(EndpointUnavailable, match="does not accept the key") as caught:
            annotate(bench)
        monkeypatch.setenv("CLOUD_KEY", "sesame-1234")
        result = annotate(bench)
    assert "9876" not in str(caught.value)
    assert "sesame" not in json.dumps(result)


def test_a_name_that_is_not_in_the_configuration_is_refused(tmp_path: Path):
    with (
        OpenAIServer() as server,
        pytest.raises(BadInput, match=r"no \[endpoints\.other\] \(there is: cloud\)"),
    ):
        annotate(bench_for(tmp_path, server), endpoint="other")


def test_a_path_that_the_server_does_not_know_is_the_endpoints_matter(tmp_path: Path):
    with OpenAIServer() as server:
        wrong = Endpoint(base_url=server.base_url.replace("/v1", "/v1/embeddings?x=1"), model="m")
        with pytest.raises(
            EndpointUnavailable, match=r"takes no such request there: check its base_url \(answer 404"
        ):
            annotate(Bench(tmp_path, endpoints={"cloud": wrong}))


def test_items_are_checked_before_anything_is_asked(tmp_path: Path):
    with OpenAIServer() as server:
        with pytest.raises(BadInput, match=r"args\.items\[0\]"):
            annotate(bench_for(tmp_path, server), items=[{"id": 1, "text": "x"}])
        assert server.requests == []
