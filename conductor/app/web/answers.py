"""Views as answers: JSON with every field, errors as one sentence, and their shapes in the OpenAPI page."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from conductor.base.errors import (
    ConductorError,
    ConfigError,
    ManifestError,
    NothingFound,
    Unreachable,
    UsageError,
)
from conductor.base.secrets import scrub
from conductor.base.text import escaped, printable
from conductor.views.as_json import json_text


class NotThere(UsageError):
    """What the address names is not known."""


COMPONENTS = "#/components/schemas/{name}"
#: By what the caller should do; the first that fits.
STATUS_OF: tuple[tuple[type[ConductorError], int], ...] = (
    (NotThere, 404),
    (UsageError, 400),
    (NothingFound, 409),
    (ManifestError, 422),
    (ConfigError, 409),
    (Unreachable, 503),
)


def status_of(error: ConductorError) -> int:
    return next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)


def status_of_exit(exit_code: int) -> int:
    """Of a command that gave no answer, of which no more than that is known."""
    kinds = (kind for kind, _ in STATUS_OF if kind is not NotThere)
    return next((status_of(kind("")) for kind in kinds if kind.exit_code == exit_code), 500)


NO_HEADERS: Mapping[str, str] = {}
#: In place of HTTP's own words.
USUAL = {
    404: "there is no such address: /api/v1/openapi.json lists all",
    405: "this address does not take that method",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer: one sentence for a person, and what the command line would have ended with."""

    error: str
    exit_code: int = 1
    #: Of a manifest: «file:line: what is wrong».
    problems: tuple[str, ...] = ()


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> Response:
    """Characters that a terminal would obey are written out: what shows this may be a `curl` in one."""
    text = escaped(json_text(value))
    return Response(text.encode("utf-8", "backslashreplace"), status, headers, "application/json")


def problem(sentence: str, status: int, exit_code: int = 1, problems: tuple[str, ...] = ()) -> Response:
    said = Problem(
        error=printable(scrub(sentence)),
        exit_code=exit_code,
        problems=tuple(printable(scrub(each)) for each in problems),
    )
    return json_answer(said, status)


async def failed(request: Request, error: Exception) -> Response:
    """An error of ours as an answer."""
    assert isinstance(error, ConductorError)
    problems = error.problems[:100] if isinstance(error, ManifestError) else ()
    return problem(str(error), status_of(error), error.exit_code, problems)


async def unexpected(request: Request, error: Exception) -> Response:
    return problem("this cannot be answered: the log of `conductor web` says why", 500)


async def refused(request: Request, error: Exception) -> Response:
    """What a right turns down, and FastAPI itself: an address that is not there, a value that is none."""
    if not isinstance(error, HTTPException):
        return problem("a value in the address cannot be read", 422, 2)
    usual = USUAL.get(error.status_code) if error.detail == HTTPStatus(error.status_code).phrase else None
    said = problem(usual or str(error.detail), error.status_code, 2)
    said.headers.update(error.headers or {})
    return said


# ── OpenAPI ───────────────────────────────────────────────────────────────────────────────────────────────


def gives(kind: type, words: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """For a route: what it answers with."""
    shape = {"$ref": COMPONENTS.format(name=kind.__name__)}
    return {status: {"description": words, "content": {"application/json": {"schema": shape}}}}


def takes(kind: type) -> dict[str, Any]:
    """For a route: what is sent to it."""
    shape = {"$ref": COMPONENTS.format(name=kind.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shape}}}}


def shapes(answers: tuple[type, ...], sent: tuple[type, ...] = ()) -> dict[str, Any]:
    """Components by name. An answer has every field, whatever its default."""
    _, found = msgspec.json.schema_components((*answers, *sent), ref_template=COMPONENTS)
    for kind, shape in found.items():
        if "properties" in shape and kind not in {each.__name__ for each in sent}:
            shape["required"] = list(shape["properties"])
    return found


class AsciiOnly(JSONResponse):
    """For FastAPI's own answers."""

    def render(self, content: Any) -> bytes:
        return escaped(json_text(content)).encode()
