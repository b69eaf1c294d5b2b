"""The page's own files, and the way in: a token or a link becomes a browser's session."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from conductor.app.web.answers import gives, json_answer, takes
from conductor.app.web.body import sent
from conductor.app.web.page_files import INDEX, PageFiles
from conductor.app.web.rights import (
    COOKIE,
    SESSION_S,
    Door,
    Visitor,
    acts,
    anybody,
    clean_name,
    looks,
    name_let_in,
    new_link,
    refuse_foreign_page,
    session_of,
    visitor,
)
from conductor.model.spec import Value

#: The pages that a person may open by their address.
PAGES = ("/", "/jobs", "/jobs/{job}", "/hosts", "/review", "/night", "/schedules", "/alerts", "/what-if")
MOST_LOGIN_BYTES = 4096

router = APIRouter()


class Login(Value, frozen=True, kw_only=True):
    """`token`: the token, or the code of a link. `name`: who acts, as the record is to say."""

    token: str
    name: str = ""


class Whoami(Value, frozen=True, kw_only=True):
    name: str
    may_act: bool
    #: A token is configured: one may log in.
    has_token: bool


class Link(Value, frozen=True, kw_only=True):
    """`code`: behind `/#` of the page's address it logs in, once, within five minutes."""

    code: str


def door_of(request: Request) -> Door:
    return request.app.state.door


async def page(request: Request) -> Response:
    """Which page it is, its own script finds out of the address."""
    return static_file(request, INDEX)


for address in PAGES:
    router.get(address, dependencies=[Depends(anybody)], include_in_schema=False)(page)


@router.get("/static/{name:path}", dependencies=[Depends(anybody)], include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    return static_file(request, name)


def static_file(request: Request, name: str) -> Response:
    files: PageFiles = request.app.state.static
    found = files.answer(name, request.headers.get("accept-encoding", ""))
    if found is None:
        raise HTTPException(404)
    return found


@router.get("/api/v1/whoami", dependencies=[Depends(looks)], responses=gives(Whoami, "Who asks"))
async def whoami(request: Request) -> Response:
    """What the one who asks may do."""
    found = visitor(request)
    has_token = bool(door_of(request).token)
    return json_answer(Whoami(name=found.name, may_act=found.may_act, has_token=has_token))


@router.post(
    "/api/v1/login",
    dependencies=[Depends(refuse_foreign_page)],
    responses=gives(Whoami, "Logged in"),
    openapi_extra=takes(Login),
)
async def login(request: Request) -> Response:
    """The token, or a link's code, for a session: a cookie that scripts cannot read."""
    try:
        given = msgspec.json.decode(await sent(request, MOST_LOGIN_BYTES), type=Login)
    except msgspec.DecodeError:
        raise HTTPException(400, "send {token, name} as JSON") from None
    door = door_of(request)
    known = name_let_in(door, given.token, time.monotonic())
    if known is None:
        raise HTTPException(401, "that is not the token, or the link was used or is too old")
    name = clean_name(given.name) or known or "somebody"
    answer = json_answer(Whoami(name=name, may_act=True, has_token=True))
    answer.set_cookie(
        COOKIE,
        session_of(door, name, time.time()),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/api/v1/logout", dependencies=[Depends(refuse_foreign_page)], responses=gives(Whoami, "Left"))
async def logout(request: Request) -> Response:
    answer = json_answer(Whoami(name="", may_act=False, has_token=bool(door_of(request).token)))
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.post("/api/v1/links", responses=gives(Link, "A link to log in with"))
async def link(request: Request, who: Annotated[Visitor, Depends(acts)]) -> Response:
    """A code that logs a browser in once: `conductor web --link` shows it."""
    door = door_of(request)
    if not door.token:
        raise HTTPException(409, "set web.token_env first: until then a browser is for looking only")
    code = secrets.token_urlsafe(24)
    new_link(door, code, who.said, time.monotonic())
    return json_answer(Link(code=code))
