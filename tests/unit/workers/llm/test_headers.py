"""What servers say of their budgets, as OpenAI, Anthropic, GitHub and the IETF drafts write it."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from conductor.model.calls import Budget
from workers.llm.headers import requests_budget, said_wait_s, seconds_until, tokens_budget

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("250ms", 0.25),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("12", 12.0),
        ("0", 0.0),
        (str(NOW + 30), 30.0),
        (str(int((NOW + 30) * 1000)), 30.0),
        (str(NOW - 30), 0.0),
        ("2023-11-14T22:13:50Z", 30.0),
        ("2023-11-14T23:13:50+01:00", 30.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        ("soon", None),
        ("", None),
        ("1s later", None),
        ("-3", 0.0),
        ("nan", None),
        (None, None),
    ],
)
def test_when_a_budget_is_whole_again_is_said_in_many_ways(said: str | None, seconds: float | None):
    until = seconds_until(said, NOW)
    assert until == (None if seconds is None else pytest.approx(seconds))


def test_openai_shaped_headers():
    headers = {
        "X-RateLimit-Limit-Requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert requests_budget(headers, NOW) == Budget(limit=60, remaining=59, resets_in_s=1.0)
    assert tokens_budget(headers, NOW) == Budget(limit=150_000, remaining=149_984, resets_in_s=360.0)


def test_anthropic_headers():
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:50Z",
        "anthropic-ratelimit-tokens-limit": "40000",
        "anthropic-ratelimit-tokens-remaining": "39000",
    }
    assert requests_budget(headers, NOW) == Budget(limit=50, remaining=0, resets_in_s=30.0)
    assert tokens_budget(headers, NOW) == Budget(limit=40_000, remaining=39_000)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (
            {
                "RateLimit": '"default";r=50;t=30',
                "RateLimit-Policy": '"default";q=100;w=60, "day";q=1000;w=86400',
            },
            Budget(limit=100, remaining=50, resets_in_s=30.0, window_s=60.0),
        ),
        ({"RateLimit-Policy": '"default";q=100'}, Budget(limit=100)),
        (
            {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "12", "RateLimit-Reset": "50"},
            Budget(limit=100, remaining=12, resets_in_s=50.0),
        ),
        (
            {
                "x-ratelimit-limit": "5000",
                "x-ratelimit-remaining": "4999",
                "x-ratelimit-reset": str(int(NOW) + 9),
            },
            Budget(limit=5000, remaining=4999, resets_in_s=9.0),
        ),
        ({"content-type": "application/json"}, Budget()),
        ({"x-ratelimit-limit-requests": "many"}, Budget()),
    ],
)
def test_the_drafts_of_the_ietf_and_github(headers: dict[str, str], said: Budget):
    assert requests_budget(headers, NOW) == said


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"Retry-After": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": "99999999"}, 24 * 3600.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "17s"}, 17.0),
        ({"x-ratelimit-remaining-requests": "4", "x-ratelimit-reset-requests": "17s"}, None),
        ({"RateLimit": '"default";r=0;t=8'}, 8.0),
        ({}, None),
    ],
)
def test_how_long_to_stay_away(headers: dict[str, str], wait_s: float | None):
    assert said_wait_s(headers, "", NOW) == (None if wait_s is None else pytest.approx(wait_s))
