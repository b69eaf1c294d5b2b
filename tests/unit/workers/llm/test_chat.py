"""What an API announces with an answer, without one."""

from __future__ import annotations

from workers.llm.chat import budget


def test_the_budget_comes_from_the_headers():
    headers = {"X-RateLimit-Remaining-Requests": "29", "x-ratelimit-reset-requests": "2s", "date": "now"}
    assert budget(headers) == {"remaining_requests": 29.0, "reset_requests": "2s"}
