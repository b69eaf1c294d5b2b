"""The only file that knows the openai client: one request to one endpoint, and what came back, or why
nothing did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

from conductor.base import secrets
from conductor.base.text import printable
from workers.llm.time_limit import TimeLimit

if TYPE_CHECKING:
    from conductor.base.settings.endpoint_settings import Endpoint

CONNECT_S = 10.0
#: A request has so long at least; and it is over so long before its attempt is, so that it can be told.
LEAST_S, TOLD_S = 1.0, 2.0
#: What is asked for → its path.
_PATHS: Mapping[str, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}
#: Of one and the same server; to another one none is followed, and the key goes nowhere else.
_MOST_REDIRECTS = 3
#: As the client's own library names them: nothing of the request has left this host by then.
_UNREACHED = frozenset({"ConnectError", "ConnectTimeout", "ProxyError"})
_MALFORMED = frozenset({"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"})
_MOST_WORDS = 300


RequestKind = Literal["chat", "embeddings"]
#: Nobody there; an address that is none; what came was no whole answer.
Silence = Literal["down", "address", "broke off"]


class Reply(NamedTuple):
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class NoReply(Exception):
    """Why there is no answer."""

    def __init__(self, kind: Silence, words: str) -> None:
        super().__init__(words)
        self.kind: Silence = kind


def post(
    endpoint: Endpoint, key: str, body: Mapping[str, Any], limit_s: float, kind: RequestKind = "chat"
) -> Reply:
    """One request, never repeated here: the conductor keeps the budget. Raises `NoReply`."""
    address = endpoint.base_url
    _check(address)
    for _ in range(_MOST_REDIRECTS + 1):
        reply = _post(address, key, body, limit_s, kind)
        moved = _moved_to(address, reply, _PATHS[kind])
        if moved is None:
            return reply
        address = moved
    raise NoReply("address", "it redirects in a circle")


def host_of(endpoint: Endpoint) -> str:
    """Where it is, without a user and password that may stand in the address."""
    return endpoint.base_url.partition("://")[2].partition("/")[0].rpartition("@")[2] or "no address"


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
        fault = (
            ""
            if parts.scheme in ("http", "https") and parts.hostname
            else "it begins with neither http:// nor https://"
        )
    except ValueError as e:
        fault = str(e)
    if fault:
        raise NoReply("address", f"its base_url is no address: {fault}")


def _post(address: str, key: str, body: Mapping[str, Any], limit_s: float, kind: RequestKind) -> Reply:
    import httpx
    import openai

    parts = urlsplit(address)
    within = max(LEAST_S, limit_s - TOLD_S)
    limit = TimeLimit(within)
    # Retries of the client would spend a budget that the conductor keeps: one 429 would become three.
    try:
        with (
            limit,
            openai.OpenAI(
                base_url=urlunsplit(parts._replace(query="", fragment="")),
                api_key=key,
                max_retries=0,
                timeout=openai.Timeout(within, connect=min(CONNECT_S, within)),
                http_client=openai.DefaultHttpxClient(
                    follow_redirects=False, event_hooks={"request": [limit.watch]}
                ),
            ) as client,
        ):
            # Not by its methods for each kind: they add members that not every server takes.
            raw = client.post(
                _PATHS[kind],
                cast_to=httpx.Response,
                body=body,
                options={"params": dict(parse_qsl(parts.query, keep_blank_values=True))},
            )
            reply = Reply(raw.status_code, raw.headers, raw.content)
    except openai.APIStatusError as e:
        reply = Reply(e.response.status_code, e.response.headers, e.response.content)
    except openai.APIConnectionError as e:
        raise _late() if limit.is_over else _no_reply(e.__cause__ or e) from None
    except Exception as e:
        # The library under the client has errors of its own for what is no address.
        if type(e).__name__ in _MALFORMED or isinstance(e, ValueError):
            raise _no_reply(e) from None
        raise
    if limit.is_over:
        # Where no length was said, it looks like an end.
        raise _late()
    return reply


def _late() -> NoReply:
    return NoReply("broke off", "it did not answer in time")


def _no_reply(error: BaseException) -> NoReply:
    name = type(error).__name__
    words = printable(secrets.scrub(str(error)))[:_MOST_WORDS] or name
    if name in _MALFORMED or isinstance(error, ValueError):
        return NoReply("address", f"its base_url is no address: {words}")
    if "Timeout" in name and name not in _UNREACHED:
        return _late()
    return NoReply("down" if name in _UNREACHED else "broke off", words)


def _moved_to(address: str, reply: Reply, path_of_kind: str) -> str | None:
    """Where the same server has it instead; None where it is no redirect, or one that is not followed."""
    location = reply.headers.get("location")
    if reply.status not in (307, 308) or not location:
        return None
    asked = urlsplit(address)
    full = urlsplit(
        urljoin(urlunsplit(asked._replace(path=asked.path.rstrip("/") + path_of_kind, query="")), location)
    )
    if (full.scheme, full.hostname, full.port) != (asked.scheme, asked.hostname, asked.port):
        return None
    path = full.path.rstrip("/")
    if not path.endswith(path_of_kind):
        return None
    return urlunsplit(asked._replace(path=path.removesuffix(path_of_kind), query=full.query or asked.query))


def elsewhere(reply: Reply) -> str:
    """The host and path that a redirect names, without what may be secret in it."""
    there = urlsplit(reply.headers.get("location") or "")
    return printable(urlunsplit((there.scheme, there.netloc.rpartition("@")[2], there.path, "", "")))[
        :_MOST_WORDS
    ]
