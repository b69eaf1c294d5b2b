"""What servers mean by their errors: each in the form in which it writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from workers.llm.error_bodies import complaint_of, error_within
from workers.llm.error_meaning import Refusal, meaning_of

NOW = 1_700_000_000.0


def openai(
    message: str, kind: str | None = None, code: Any = None, param: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def gemini(code: int, message: str, status: str, *details: Mapping[str, Any]) -> list[Any]:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def meaning(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Refusal:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return meaning_of(status, complaint_of(content), headers or {}, NOW)


NO_PLAN = "You exceeded your current quota, please check your plan and billing details."
TPM = (
    "Rate limit reached for m on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000. Please try "
    "again in 6s."
)
TOO_LARGE = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 61337. Reduce the input."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            429,
            openai("You have no credit left, look at your plan", "insufficient_quota", "insufficient_quota"),
        ),
        (429, openai(NO_PLAN, "insufficient_quota", "insufficient_quota")),
        (429, openai(NO_PLAN)),
        (429, openai("Your account is not active, please check your billing details.", "billing_not_active")),
        (429, openai("Insufficient balance or no resource package. Please recharge.", None, "1113")),
        (402, openai("Insufficient credits")),
        (402, b""),
        (
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"},
            },
        ),
        (
            400,
            openai("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded", "400"),
        ),
        (
            403,
            {
                "code": "unsupported_country_region_territory",
                "message": "Country, region, or territory not supported",
            },
        ),
    ],
)
def test_no_money_is_told_apart_whatever_its_status(status: int, body: Any):
    assert meaning(status, body).meaning == "account"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, openai("Incorrect API key provided", "invalid_request_error", "invalid_api_key")),
        (401, {"statusCode": 401, "message": "Access denied due to invalid subscription key"}),
        (401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        (403, openai("Project does not have access", "permission_error")),
        (400, gemini(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")),
        (400, gemini(400, "Not that one.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"})),
        (400, openai("API key expired. Please renew the API key.")),
    ],
)  # fmt: skip
def test_a_key_that_is_not_accepted(status: int, body: Any):
    assert meaning(status, body).meaning == "key"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "model 'm' not found, try pulling it first"}),
        (404, openai('model "m" not found, try pulling it first', "api_error")),
        (
            404,
            {
                "object": "error",
                "message": "The model `m` does not exist.",
                "type": "NotFoundError",
                "code": 404,
            },
        ),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}),
        (
            404,
            openai("The model `m` does not exist or you do not have access to it.", None, "model_not_found"),
        ),
        (400, openai("litellm.BadRequestError: Invalid model name passed in model=m.", None, "400")),
        (400, {"error": {"message": "m is not a valid model ID", "code": 400}}),
        (404, {"error": {"message": "No endpoints found for m", "code": 404}}),
    ],
)
def test_a_model_that_is_not_there(status: int, body: Any):
    assert meaning(status, body).meaning == "model"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>"),
        (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (301, b""),
    ],
)
def test_an_address_at_which_nobody_answers_chats(status: int, body: Any):
    assert meaning(status, body).meaning == "address"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, openai(TOO_LARGE, "tokens", "rate_limit_exceeded")),
        (429, openai("Rate limit reached: Limit 10000, Used 0, Requested 12000. Please try again in 12s.")),
        (413, openai(TOO_LARGE, "tokens", "rate_limit_exceeded")),
        (413, b"<html>413 Request Entity Too Large</html>"),
        (400, openai("This model's maximum context length is 8192 tokens", None, "context_length_exceeded")),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. But "
                                             "you requested "
               "9000 tokens. Please reduce the length of "
               "the messages.", "type": "BadRequestError", "code": 400}),
        (400, {"error": {"code": 400, "message": "the request exceeds the available context size, try "
                                                 "increasing it",
                         "type": "exceed_context_size_error"}}),
        (500, openai("the request exceeds the available context size")),
        (400, openai("prompt is too long: 210000 tokens > 200000 maximum")),
        (400, openai("Invalid schema for function", "invalid_request_error")),
        (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}),
    ],
)  # fmt: skip
def test_a_request_that_can_never_pass(status: int, body: Any):
    assert meaning(status, body).meaning == "request"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "The response was filtered due to the content management policy",
                         "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (403, openai("Your chosen model requires moderation and your input was flagged")),
    ],
)  # fmt: skip
def test_a_request_that_was_filtered(status: int, body: Any):
    assert meaning(status, body).meaning == "filtered"


@pytest.mark.parametrize(
    ("body", "headers", "wait_s"),
    [
        (openai(TPM, "tokens", "rate_limit_exceeded"), {}, 6.0),
        (openai(f"{TPM} Add a payment method at your billing page."), {}, 6.0),
        (openai("Please retry after 11 seconds.", None, "429"), {}, 11.0),
        (openai("Too many requests, please wait 1 minute and 12 seconds."), {}, 72.0),
        (openai("Rate limit reached. Please try again in 11.5s."), {}, 11.5),
        (openai("Rate limit reached. Please try again in 1m2.5s."), {}, 62.5),
        (openai("Rate limit reached. Please try again in 250ms."), {}, 0.25),
        (openai("slow down"), {"x-ratelimit-remaining-requests": "0",
                              "x-ratelimit-reset-requests": "6s250ms"}, 6.25),
        (openai("slow down"), {"x-ratelimit-reset-tokens": "7s"}, 7.0),
        (openai("slow down"), {"anthropic-ratelimit-input-tokens-remaining": "0",
                               "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z"}, 30.0),
        (openai("slow down"), {"x-ms-retry-after-ms": "1500"}, 1.5),
        (gemini(429, NO_PLAN, "RESOURCE_EXHAUSTED", {"@type": "x/RetryInfo", "retryDelay": "26s"}), {}, 26.0),
        (gemini(429, NO_PLAN, "RESOURCE_EXHAUSTED"), {}, None),
        ({"error": {"message": "Rate limit exceeded: "
                               "free-models-per-day", "code": 429, "metadata": {"headers": {
            "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int((NOW + 99) * 1000))}}}}, {}, 99.0),
        ({"message": "slow", "retry_after": 3}, {}, 3.0),
        (openai("slow down"), {"Retry-After": "9"}, 9.0),
        (openai("slow down"), {}, None),
        (b"", {}, None),
    ],
)  # fmt: skip
def test_a_429_and_when_to_come_back(body: Any, headers: dict[str, str], wait_s: float | None):
    assert meaning(429, body, headers) == Refusal("limited", wait_s)


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait_s"),
    [
        (503, openai("overloaded"), {"Retry-After": "12"}, 12.0),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, {}, None),
        (502, b"<html>Bad Gateway</html>", {}, None),
        (500, openai("boom"), {"Retry-After": "7"}, 7.0),
        (500, openai("The engine is overloaded, please try again in 20s", "server_error"), {}, 20.0),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, {}, None),
        (503, gemini(503, "This model is experiencing high demand.", "UNAVAILABLE"), {}, None),
        (400, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, {}, None),
    ],
)
def test_a_server_that_is_busy(status: int, body: Any, headers: dict[str, str], wait_s: float | None):
    assert meaning(status, body, headers) == Refusal("busy", wait_s)


@pytest.mark.parametrize("status", [500, 501, 504, 524, 408, 409])
def test_what_may_be_the_requests_own_doing(status: int):
    assert meaning(status, openai("boom")) == Refusal("faulty")


def test_an_error_inside_of_a_success():
    whole = error_within(b'\xef\xbb\xbf{"error": {"message": "Provider returned error", "code": 502}}')
    first = error_within(
        json.dumps({"choices": [{"finish_reason": "error", "error": {"code": 429, "message": "x"}}]}).encode()
    )

    assert whole is not None and (whole.words, whole.status) == ("Provider returned error", 502)
    assert first is not None and first.status == 429
    assert error_within(b'{"choices": [{"message": {"content": "fine"}}], "error": null}') is None
    assert error_within(b"<html>") is None


def test_words_are_one_line_and_bounded():
    said = complaint_of(b'{"error": {"message": "a\\nb\\u001b[31m' + b"x" * 9000 + b'"}}')
    assert said.words.startswith("a b\\x1b[31mxxx") and len(said.words) < 500
    assert complaint_of(b"<html><style>p {}</style><body>Sign <b>in</b></body></html>").words == "Sign in"
