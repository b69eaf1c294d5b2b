"""What an API's answers mean, without one."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from conductor.errors import JobError
from workers.llm.chat import budget, json_object, understood
from workers.llm.headers import DEFAULT_RETRY_AFTER_S, retry_after_s

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("12", 12.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", DEFAULT_RETRY_AFTER_S),
        (formatdate(NOW + 30, usegmt=True), 30.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float):
    assert retry_after_s({"retry-after": said}, NOW) == pytest.approx(seconds)


def test_a_refusal_without_a_time_waits_a_little():
    assert retry_after_s({}, NOW) == DEFAULT_RETRY_AFTER_S


def test_the_budget_comes_from_the_headers():
    headers = {"X-RateLimit-Remaining-Requests": "29", "x-ratelimit-reset-requests": "2s", "date": "now"}
    assert budget(headers) == {"remaining_requests": 29.0, "reset_requests": "2s"}


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1}\n```', 'Sure! {"a": 1} Anything else?'])
def test_json_is_found_between_pleasantries(text: str):
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "no", "} {", "{half", '["a"]'])
def test_no_json_is_none(text: str):
    assert json_object(text) is None


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}'])
def test_what_is_no_completion_is_a_task_error(content: bytes):
    with pytest.raises(JobError, match="cloud sent"):
        understood(content, {}, "cloud")
